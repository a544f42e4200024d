//go:build linux

package load

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

// The servers below are of other libraries, so that the layers are not tested by themselves.

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// overTLS serves over TLS.
func overTLS(t *testing.T, serve func(at int) func(int, net.Conn)) func(at int) func(int, net.Conn) {
	config := serverTLS(t)
	return func(at int) func(int, net.Conn) {
		inner := serve(at)
		return func(i int, c net.Conn) { inner(i, tls.Server(c, config)) }
	}
}

// overWS echoes the messages of WebSocket connections, and spoils a byte of what it sends after the handshake.
func overWS(t *testing.T) func(at int) func(int, net.Conn) {
	t.Helper()
	return func(at int) func(int, net.Conn) {
		return func(_ int, c net.Conn) {
			s := &spoil{at: at}
			echoWS(c, s)
		}
	}
}

func echoWS(c net.Conn, s *spoil) {
	if _, err := ws.Upgrade(c); err != nil {
		return
	}
	r := bufio.NewReader(c)
	for {
		f, err := ws.ReadFrame(r) //nolint:staticcheck // of the test, whose frames are small
		if err != nil {
			return
		}
		if !f.Header.Masked || !f.Header.Fin || f.Header.OpCode != ws.OpBinary || f.Header.Mask == [4]byte{} {
			return // a client has to mask
		}
		var out bytes.Buffer
		if err := ws.WriteFrame(&out, ws.NewBinaryFrame(ws.UnmaskFrame(f).Payload)); err != nil {
			return
		}
		s.bytes(out.Bytes())
		if _, err := c.Write(out.Bytes()); err != nil {
			return
		}
	}
}

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\nHello, World!"

// spoilingHTTP answers every request with the same bytes, and spoils one.
func spoilingHTTP(answer string) func(at int) func(int, net.Conn) {
	return func(at int) func(int, net.Conn) {
		return func(_ int, c net.Conn) {
			s := &spoil{at: at}
			r := bufio.NewReader(c)
			for {
				q, err := http.ReadRequest(r)
				if err != nil || q.Host == "" || q.Method != http.MethodGet {
					return
				}
				p := []byte(answer)
				s.bytes(p)
				if _, err := c.Write(p); err != nil {
					return
				}
			}
		}
	}
}

// TestLayersOfHonestServers: messages larger than a record, a socket buffer or a receive pass through all layers.
func TestLayersOfHonestServers(t *testing.T) {
	const nothing = -1
	for _, c := range []struct {
		kind  string
		serve func(int, net.Conn)
		sizes [][3]int
	}{
		{workload.KindTLSEcho, overTLS(t, spoilingEcho)(nothing), [][3]int{{1, 1, 1}, {3, 100, 16}, {2, 1 << 20, 1}}},
		{workload.KindTLSFull, overTLS(t, spoilingEcho)(nothing), [][3]int{{3, 64, 1}, {2, 100_000, 1}}},
		{workload.KindTLSResume, overTLS(t, spoilingEcho)(nothing), [][3]int{{3, 64, 1}}},
		{workload.KindWSEcho, overWS(t)(nothing), [][3]int{{1, 1, 1}, {3, 125, 16}, {3, 126, 1}, {3, 65535, 1}, {2, 65536, 2}, {2, 1 << 20, 1}}},
		{workload.KindHTTP, spoilingHTTP(goodAnswer)(nothing), [][3]int{{1, 13, 1}, {3, 13, 16}, {2, 13, 10_000}}},
		{workload.KindHTTPStd, spoilingHTTP(goodAnswer)(nothing), [][3]int{{1, 13, 1}, {3, 13, 16}}},
	} {
		addr := startEcho(t, c.serve)
		for _, s := range c.sizes {
			config := smallLoad(addr)
			config.Kind, config.Conns, config.Size, config.Depth = c.kind, s[0], s[1], s[2]
			require.NoError(t, config.Check())
			r, err := Run(config)
			require.NoError(t, err, "%s %v", c.kind, s)
			assert.Positive(t, r.Messages, "%s %v", c.kind, s)
			assert.Equal(t, r.Messages, decodeLatency(t, r).TotalCount(), "latencies of %s %v", c.kind, s)
		}
	}
}

// TestLayersCatchWhatIsNotTheirProtocol runs servers whose messages are right and whose protocol is not.
func TestLayersCatchWhatIsNotTheirProtocol(t *testing.T) {
	answer := func(text string) func(int, net.Conn) { return spoilingHTTP(text)(-1) }
	upgraded := func(frame []byte) func(int, net.Conn) {
		return func(_ int, c net.Conn) {
			if _, err := ws.Upgrade(c); err != nil {
				return
			}
			_, _ = io.CopyN(io.Discard, c, 2+4+64) // the first frame
			_, _ = c.Write(frame)
			_, _ = io.Copy(io.Discard, c)
		}
	}
	for name, c := range map[string]struct {
		kind  string
		serve func(int, net.Conn)
		want  string
	}{
		"tls, a server without it":      {workload.KindTLSEcho, func(_ int, c net.Conn) { _, _ = io.Copy(c, c) }, "connection 0: TLS handshake"},
		"tls, silence":                  {workload.KindTLSEcho, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "stall: the handshake"},
		"tls churn, silence":            {workload.KindTLSFull, func(_ int, c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "stall: connection 1 of slot"},
		"tls, closed after a handshake": {workload.KindTLSEcho, func(_ int, c net.Conn) { _ = tls.Server(c, serverTLS(t)).Handshake() }, "connection"},
		"tls, closed in good order": {workload.KindTLSEcho, func(_ int, c net.Conn) {
			s := tls.Server(c, serverTLS(t))
			_, _ = io.CopyN(io.Discard, s, 64)
			_ = s.Close()
		}, io.ErrUnexpectedEOF.Error()},
		"tls, no sessions": {workload.KindTLSResume, func(_ int, c net.Conn) {
			config := serverTLS(t)
			config.SessionTicketsDisabled = true
			s := tls.Server(c, config)
			_, _ = io.Copy(s, s)
		}, "has not resumed the session"},
		"websocket, refused":      {workload.KindWSEcho, answer(goodAnswer), "the server answered 200 OK"},
		"websocket, a wrong key":  {workload.KindWSEcho, answer("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n"), "Sec-WebSocket-Accept is \"x\""},
		"websocket, masked":       {workload.KindWSEcho, upgraded([]byte{0x82, 0x80 | 64}), "of its head, want"},
		"websocket, text":         {workload.KindWSEcho, upgraded([]byte{0x81, 64}), "of its head, want"},
		"websocket, too short":    {workload.KindWSEcho, upgraded([]byte{0x82, 63}), "of its head, want"},
		"websocket, a long head":  {workload.KindWSEcho, upgraded([]byte{0x82, 126, 0, 64}), "of its head, want"},
		"websocket, a ping":       {workload.KindWSEcho, upgraded([]byte{0x89, 0}), "of its head, want"},
		"http, not found":         {workload.KindHTTP, answer("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"), "answered HTTP/1.1 404"},
		"http, HTTP/1.0":          {workload.KindHTTP, answer("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, World!"), "answered HTTP/1.0"},
		"http, chunks":            {workload.KindHTTP, answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\nd\r\nHello, World!\r\n0\r\n\r\n"), "the content has -1 bytes"},
		"http, another type":      {workload.KindHTTP, answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\nHello, World!"), `Content-Type is "text/html"`},
		"http, it closes":         {workload.KindHTTP, answer("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 13\r\n\r\nHello, World!"), "will close"},
		"http, an endless head":   {workload.KindHTTP, answer("HTTP/1.1 200 OK\r\nX: " + string(bytes.Repeat([]byte("x"), longestHead))), "head of an answer"},
		"http, no HTTP":           {workload.KindHTTP, answer("hello\r\n\r\n"), "HTTP: "},
		"http, one answer of two": {workload.KindHTTP, func(_ int, c net.Conn) { _, _ = c.Write([]byte(goodAnswer)); _, _ = io.Copy(io.Discard, c) }, "stall: connection"},
	} {
		t.Run(name, func(t *testing.T) {
			size := workload.SizeOf(c.kind, 64)
			_, err := Run(Config{
				Workload: workload.Workload{Kind: c.kind, Conns: 2, Size: size, Depth: 1}, Addr: startEcho(t, c.serve),
				Window: time.Hour, Stall: 300 * time.Millisecond,
			})
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// TestAHandshakeEndsBeforeTheFirstMessage: a server may have a limit for handshakes, and connections may wait for long
// until all are there.
func TestAHandshakeEndsBeforeTheFirstMessage(t *testing.T) {
	config, done := serverTLS(t), make(chan error, 2)
	addr := startEcho(t, func(_ int, c net.Conn) {
		s := tls.Server(c, config)
		done <- s.Handshake()
		_, _ = io.Copy(s, s)
	})
	g, err := newGenerator(Config{
		Workload: workload.Workload{Kind: workload.KindTLSEcho, Conns: 2, Size: 64, Depth: 1}, Addr: addr, Stall: time.Minute,
	})
	require.NoError(t, err)
	defer g.close()
	for range 2 {
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(10 * time.Second):
			require.Fail(t, "a server's handshake is not over, and the client's is")
		}
	}
}
