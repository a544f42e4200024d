package tandem_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// OpenSSL is the peer of streams with TLS: s_client of a server, s_server of a client. Where it is missing the tests are
// skipped, loudly; with TANDEM_REQUIRE_TOOLS=1 they fail.

// identity is a certificate for both ends, as crypto/tls and as OpenSSL want it.
type identity struct {
	server, client    *tls.Config
	certFile, keyFile string
}

func newIdentity(t *testing.T) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server.test"}, DNSNames: []string{"server.test"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	id := identity{certFile: filepath.Join(dir, "cert"), keyFile: filepath.Join(dir, "key")}
	require.NoError(t, os.WriteFile(id.certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(id.keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	mine := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	id.server = &tls.Config{
		Certificates: mine, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"other", "echo"},
	}
	id.client = &tls.Config{Certificates: mine, RootCAs: pool, ServerName: "server.test", NextProtos: []string{"echo"}}
	return id
}

// dialogue is a program that the test talks to.
type dialogue struct {
	t     *testing.T
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended

	mu   sync.Mutex // guards what follows
	said bytes.Buffer
	read int // of said, by hears
}

// converse starts a program, which ends with the test.
func converse(t *testing.T, path string, args ...string) *dialogue {
	t.Helper()
	d := &dialogue{t: t, done: make(chan struct{})}
	c := exec.Command(path, args...)
	c.Stdout, c.Stderr = d, d
	var err error
	d.stdin, err = c.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	go func() {
		_ = c.Wait()
		close(d.done)
	}()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-d.done
	})
	return d
}

// Write implements io.Writer for what the program says.
func (d *dialogue) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.said.Write(p)
}

// says sends the program a line.
func (d *dialogue) says(line string) {
	d.t.Helper()
	_, err := io.WriteString(d.stdin, line+"\n")
	require.NoError(d.t, err)
}

// hears waits until the program has said something that matches, behind what was heard before, and returns it.
func (d *dialogue) hears(pattern string) []string {
	d.t.Helper()
	want := regexp.MustCompile(pattern)
	for end := time.Now().Add(connPatience); ; time.Sleep(time.Millisecond) { // the program writes when it likes
		d.mu.Lock()
		all := d.said.String()
		m := want.FindStringSubmatchIndex(all[d.read:])
		if m != nil {
			found := want.FindStringSubmatch(all[d.read:])
			d.read += m[1]
			d.mu.Unlock()
			return found
		}
		d.mu.Unlock()
		require.False(d.t, time.Now().After(end), "it does not say %q, but:\n%s", pattern, all)
	}
}

// ends waits for the end of the program.
func (d *dialogue) ends() {
	d.t.Helper()
	select {
	case <-d.done:
	case <-time.After(connPatience):
		require.Fail(d.t, "it does not end", d.said.String())
	}
}

// secureEcho is a Handler that echoes, and tells of its streams.
type secureEcho struct {
	tandem.BaseHandler
	opened chan tandem.TLSState
	closed chan secureEnd
}

// secureEnd is how a stream has ended.
type secureEnd struct {
	err   error
	state tandem.TLSState
}

func newSecureEcho() *secureEcho {
	return &secureEcho{opened: make(chan tandem.TLSState, 10), closed: make(chan secureEnd, 10)}
}

func (h *secureEcho) OnOpen(s *tandem.Stream) {
	state, _ := s.TLS()
	h.opened <- state
}

func (h *secureEcho) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}

func (h *secureEcho) OnClose(s *tandem.Stream, err error) {
	state, _ := s.TLS()
	h.closed <- secureEnd{err, state}
}

// comes waits for something.
func comes[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(connPatience):
		require.FailNow(t, what+" did not come")
	}
	return v
}

// tlsVersions are those that OpenSSL and crypto/tls have in common, as OpenSSL calls them.
var tlsVersions = map[string]uint16{"-tls1_2": tls.VersionTLS12, "-tls1_3": tls.VersionTLS13}

// TestOpenSSLClient has s_client ask a server: with a certificate, a name and a protocol, twice, the second time with the
// session of the first; with key updates, asked for and not.
func TestOpenSSLClient(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		for flag, version := range tlsVersions {
			id, h := newIdentity(t), newSecureEcho()
			l, err := tr.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{TLS: id.server})
			require.NoError(t, err)
			session := filepath.Join(t.TempDir(), "session")
			args := []string{
				"s_client", "-connect", l.Addr().String(), flag, "-servername", "server.test", "-alpn", "echo", "-msg",
				"-CAfile", id.certFile, "-verify_return_error", "-cert", id.certFile, "-key", id.keyFile,
			}
			for _, resumes := range []bool{false, true} {
				more := []string{"-sess_out", session}
				if resumes {
					more = []string{"-sess_in", session}
				}
				d := converse(t, openssl, append(args, more...)...)
				state := comes(t, "OnOpen", h.opened)
				assert.Equal(t, version, state.Version)
				assert.Equal(t, "echo", state.NegotiatedProtocol)
				assert.Equal(t, "server.test", state.ServerName)
				assert.Len(t, state.PeerCertificates, 1)
				assert.Equal(t, resumes, state.DidResume, "%s", flag)
				if resumes {
					d.hears("Reused, TLS")
				}
				d.hears("Verify return code: 0")
				if version == tls.VersionTLS13 && !resumes {
					d.hears("<<< TLS 1.3, Handshake .*NewSessionTicket") // which it is to write to the file
				}
				d.says("hello")
				d.hears("(?m)^hello$")
				if version == tls.VersionTLS13 {
					updatesKeys(d)
				}
				d.says("Q")
				d.ends()
				end := comes(t, "OnClose", h.closed)
				assert.NoError(t, end.err)
				assert.False(t, end.state.Truncated)
			}
		}
	})
}

// updatesKeys has s_client send with a new key, and then ask for one.
func updatesKeys(d *dialogue) {
	for range 3 {
		d.says("k")
		d.hears(">>> TLS 1.3, Handshake .*KeyUpdate")
		d.says("after a new key")
		d.hears("(?m)^after a new key$")
		d.says("K")
		d.hears(">>> TLS 1.3, Handshake .*KeyUpdate")
		d.says("after two new keys")
		d.hears("<<< TLS 1.3, Handshake .*KeyUpdate")
		d.hears("(?m)^after two new keys$")
	}
}

// TestOpenSSLRenegotiates has s_client ask for another handshake. That ends its connection, and no other.
func TestOpenSSLRenegotiates(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		id, h := newIdentity(t), newSecureEcho()
		id.server.ClientAuth = tls.NoClientCert
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{TLS: id.server})
		require.NoError(t, err)
		args := []string{"s_client", "-connect", l.Addr().String(), "-tls1_2", "-CAfile", id.certFile}
		other, d := converse(t, openssl, args...), converse(t, openssl, args...)
		for _, each := range []*dialogue{other, d} {
			each.says("hello")
			each.hears("(?m)^hello$")
		}
		d.says("R")
		d.ends()
		require.ErrorContains(t, comes(t, "OnClose", h.closed).err, "tls: ")
		other.says("still there")
		other.hears("(?m)^still there$")
	})
}

// TestOpenSSLBulk sends a lot through s_client, both ways at once.
func TestOpenSSLBulk(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	sent := bytes.Repeat([]byte("0123456789abcdef\n"), 4<<20/17)
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		for flag := range tlsVersions {
			id := newIdentity(t)
			id.server.ClientAuth = tls.NoClientCert
			h := &countedEcho{most: len(sent)}
			l, err := tr.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{TLS: id.server})
			require.NoError(t, err)
			c := exec.CommandContext(t.Context(), openssl, "s_client", "-quiet", "-connect", l.Addr().String(), flag, "-CAfile", id.certFile)
			var said strings.Builder
			c.Stdin, c.Stderr = bytes.NewReader(sent), &said
			got, err := c.Output() // until the server has finished
			require.NoError(t, err, said.String())
			assert.True(t, bytes.Equal(sent, got), "%s: %d bytes came back", flag, len(got))
		}
	})
}

// countedEcho finishes when it has echoed enough.
type countedEcho struct {
	tandem.BaseHandler
	most, n int
}

func (h *countedEcho) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
	if h.n += len(p); h.n >= h.most {
		_ = s.CloseWrite()
	}
}

// TestOpenSSLServer dials s_server: with a certificate, a name and a protocol, twice, the second time with the session of
// the first; with key updates of the server, and a request for renegotiation.
func TestOpenSSLServer(t *testing.T) {
	openssl := program(t, "openssl", "openssl")
	onEach(t, tandem.Options{}, func(t *testing.T, tr tandem.Transport) {
		for flag, version := range tlsVersions {
			id := newIdentity(t)
			id.client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			d := converse(t, openssl, "s_server", "-accept", "127.0.0.1:0", flag, "-alpn", "other,echo", "-msg", "-cert", id.certFile,
				"-key", id.keyFile, "-CAfile", id.certFile, "-Verify", "1", "-verify_return_error")
			address := d.hears(`ACCEPT (\S+)`)[1]
			for _, resumes := range []bool{false, true} {
				h := newPolite()
				s, err := tr.Connect("tcp", address, h, &tandem.DialOptions{TLS: id.client})
				require.NoError(t, err)
				state := comes(t, "OnOpen", h.opened)
				assert.Equal(t, version, state.Version)
				assert.Equal(t, "echo", state.NegotiatedProtocol)
				assert.Equal(t, resumes, state.DidResume, "%s", flag)
				_, err = s.Write([]byte("hello\n"))
				require.NoError(t, err)
				d.hears("(?m)^hello$")
				d.says("hello yourself")
				assert.Equal(t, "hello yourself", comes(t, "a line", h.lines))
				if version == tls.VersionTLS13 {
					serverUpdatesKeys(t, d, s, h)
				}
				if resumes && version == tls.VersionTLS12 {
					d.says("r")
					require.ErrorContains(t, comes(t, "OnClose", h.closed).err, "no renegotiation")
					continue
				}
				require.NoError(t, s.Close())
				require.NoError(t, comes(t, "OnClose", h.closed).err)
				d.hears("<<< TLS 1.*close_notify")
			}
		}
	})
}

func serverUpdatesKeys(t *testing.T, d *dialogue, s *tandem.Stream, h *polite) {
	t.Helper()
	for range 3 {
		for _, command := range []string{"k", "K"} {
			d.says(command)
			d.hears(">>> TLS 1.3, Handshake .*KeyUpdate")
			d.says("after a new key")
			assert.Equal(t, "after a new key", comes(t, "a line", h.lines))
			if command == "K" {
				d.hears("<<< TLS 1.3, Handshake .*KeyUpdate")
			}
			_, err := s.Write([]byte("thanks\n"))
			require.NoError(t, err)
			d.hears("(?m)^thanks$")
		}
	}
}

// polite is a secureEcho that does not echo.
type polite struct {
	*secureEcho
	lines chan string
}

func newPolite() *polite { return &polite{newSecureEcho(), make(chan string, 10)} }

func (h *polite) OnData(s *tandem.Stream) {
	for {
		p, _ := s.Peek(-1)
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return
		}
		h.lines <- string(p[:i])
		_, _ = s.Discard(i + 1)
	}
}
