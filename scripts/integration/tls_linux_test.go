package integration

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// mirror has crypto/tls serve over a listener: each connection gets back what it sends, up to n bytes or its end.
func mirror(t *testing.T, l net.Listener, c *tls.Config, n int64) {
	t.Helper()
	l = tls.NewListener(l, c)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(patience))
				if _, err := io.Copy(conn, io.LimitReader(conn, n)); err == nil {
					assert.NoError(t, conn.(*tls.Conn).CloseWrite())
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
}

// TestTLSClientOfOpenSSL has openssl s_client send 10 MB to crypto/tls over ListenConn and read them back.
func TestTLSClientOfOpenSSL(t *testing.T) {
	openssl := tool(t, "openssl")
	id := newIdentity(t)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		l := listen(t, tr)
		mirror(t, l, id.config, int64(len(large)))
		common := []string{"s_client", "-connect", l.Addr().String(), "-servername", "localhost", "-verify_return_error", "-CAfile", id.certFile}
		for _, version := range []string{"-tls1_2", "-tls1_3"} {
			out := run(t, bytes.NewReader(large), openssl, append(common, "-quiet", version)...)
			sameBytes(t, large, []byte(out), "s_client "+version)
			session := filepath.Join(t.TempDir(), "session")
			line := strings.Repeat("line\n", 10)
			out = run(t, strings.NewReader(line), openssl, append(common, version, "-sess_out", session)...)
			assert.Contains(t, out, "Verify return code: 0 (ok)")
			assert.Contains(t, out, "New, TLSv1."+version[len("-tls1_"):])
			out = run(t, strings.NewReader(line), openssl, append(common, version, "-sess_in", session)...)
			assert.Contains(t, out, "Reused, TLSv1."+version[len("-tls1_"):])
		}
		keyUpdates(t, exec.Command(openssl, append(common, "-tls1_3")...))
	})
}

// keyUpdates has s_client change its keys and ask the server to do the same, again and again: the bytes that follow are
// right.
func keyUpdates(t *testing.T, c *exec.Cmd) {
	t.Helper()
	in, err := c.StdinPipe()
	require.NoError(t, err)
	out := &said{}
	c.Stdout, c.Stderr = out, out
	require.NoError(t, c.Start())
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	for i := range 20 {
		line := fmt.Sprintf("a line behind %d changes\n", i)
		_, err = io.WriteString(in, line)
		require.NoError(t, err)
		until(t, line, func() bool { return strings.Contains(out.String(), line) })
		_, err = io.WriteString(in, "K\n") // a command, if it comes alone
		require.NoError(t, err)
		until(t, "a change of keys", func() bool { return strings.Count(out.String(), "KEYUPDATE\n") == i+1 })
	}
	require.NoError(t, in.Close())
	require.NoError(t, c.Wait(), "%s", out)
}

// TestTLSServerOfOpenSSL has crypto/tls over DialConn ask openssl s_server for a line backwards and for 10 MB.
func TestTLSServerOfOpenSSL(t *testing.T) {
	openssl := tool(t, "openssl")
	id := newIdentity(t)
	dir := folder(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "large"), large, 0o644))
	addresses := map[string]string{}
	for _, mode := range []string{"-rev", "-WWW"} {
		addresses[mode] = net.JoinHostPort(freeAddress(t))
		c := exec.Command(openssl, "s_server", "-accept", addresses[mode], "-cert", id.certFile, "-key", id.keyFile, mode, "-quiet", "-alpn", "test")
		c.Dir = dir
		start(t, c, syscall.SIGTERM, "tcp", addresses[mode])
	}
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		cache := tls.NewLRUClientSessionCache(0)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for i := range 2 {
				c := dialTLS(t, tr, addresses["-rev"], id, cache, version)
				require.Equal(t, version, c.ConnectionState().Version)
				require.Equal(t, "test", c.ConnectionState().NegotiatedProtocol)
				require.Equal(t, i == 1, c.ConnectionState().DidResume, "the second one resumes")
				for _, line := range []string{"forwards", strings.Repeat("1234567890", 500), "x"} {
					_, err := io.WriteString(c, line+"\n")
					require.NoError(t, err)
					got := make([]byte, len(line)+1)
					_, err = io.ReadFull(c, got)
					require.NoError(t, err)
					require.Equal(t, string(backwards([]byte(line)))+"\n", string(got))
				}
				require.NoError(t, c.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
				_, err = io.WriteString(c, "again\n")
				require.NoError(t, err, "a deadline of reading ends no connection")
				_, err = io.ReadFull(c, make([]byte, 6))
				require.NoError(t, err)
				require.NoError(t, c.Close())
			}
			c := dialTLS(t, tr, addresses["-WWW"], id, nil, version)
			_, err := io.WriteString(c, "GET /large HTTP/1.0\r\n\r\n")
			require.NoError(t, err)
			p, err := io.ReadAll(c)
			require.NoError(t, err)
			_, body, found := bytes.Cut(p, []byte("\r\n\r\n"))
			require.True(t, found, "%.100q", p)
			sameBytes(t, large, body, "a file from s_server")
			require.NoError(t, c.Close())
		}
	})
}

func dialTLS(t *testing.T, tr tandem.Transport, address string, id identity, cache tls.ClientSessionCache, version uint16) *tls.Conn {
	t.Helper()
	inner, err := tandem.DialConn(t.Context(), tr, "tcp", address, nil)
	require.NoError(t, err)
	config := id.trust.Clone()
	config.ClientSessionCache, config.MinVersion, config.MaxVersion, config.NextProtos = cache, version, version, []string{"test"}
	c := tls.Client(inner, config)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	require.NoError(t, c.HandshakeContext(t.Context()))
	return c
}
