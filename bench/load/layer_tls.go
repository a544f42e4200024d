//go:build linux

package load

import (
	"crypto/tls"
	"errors"
	"io"
	"iter"
	"net"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

// tlsLayer is TLS 1.3 of package crypto/tls. A tls.Conn wants to wait for its peer. Here it runs on one thread for all
// connections:
//
//   - The handshake is a coroutine, which goes on when something has come.
//   - After it, a Read of the tls.Conn that finds nothing gets a temporary error, which a tls.Conn does not keep.
//   - Writes go to memory, and never wait.
type tlsLayer struct {
	sending
	conn   *tls.Conn
	in     []byte      // received, and not read by the tls.Conn
	yield  func() bool // waits for more, during the handshake; nil: it is over
	resume func() bool // goes on with the handshake; false: it is over
	stop   func()      // gives the handshake up
	failed error       // of the handshake
}

// errNothing is the error of a tls.Conn's Read when nothing is there.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing has come" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// tlsConfig is the client's. Everybody has X25519, so that the handshakes of all servers cost the client the same. The
// certificate is not verified: that would be work for the client alone.
func tlsConfig(kind string) *tls.Config {
	c := &tls.Config{
		ServerName: "bench", InsecureSkipVerify: true, //nolint:gosec // there is nothing to protect
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	}
	if kind == workload.KindTLSResume {
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return c
}

func newTLSLayer(s socket) *tlsLayer {
	l := &tlsLayer{sending: sending{socket: s}}
	l.conn = tls.Client(feed{layer: l}, s.g.tlsConfig(s.i))
	next, stop := iter.Pull(func(yield func(struct{}) bool) {
		l.yield = func() bool { return yield(struct{}{}) }
		l.failed = l.conn.Handshake()
		l.yield = nil
	})
	l.stop = stop
	l.resume = func() bool {
		_, more := next()
		return more
	}
	return l
}

// tlsConfig is that of a connection or slot. A slot keeps it, and so its session.
func (g *generator) tlsConfig(i int) *tls.Config {
	if g.tlsConfigs == nil {
		g.tlsConfigs = make([]*tls.Config, g.Conns)
	}
	if g.tlsConfigs[i] == nil {
		g.tlsConfigs[i] = tlsConfig(g.Kind)
	}
	return g.tlsConfigs[i]
}

func (l *tlsLayer) open() (bool, error) {
	p, err := l.receive()
	if err != nil {
		return false, err
	}
	l.in = append(l.in, p...)
	if l.resume() {
		return false, l.flush()
	}
	if l.failed != nil {
		return false, l.fail("TLS handshake", l.failed)
	}
	return true, l.flush()
}

// resumed reports whether the handshake resumed a session.
func (l *tlsLayer) resumed() bool { return l.conn.ConnectionState().DidResume }

func (l *tlsLayer) write(p []byte) (int, error) {
	if len(p) > 0 {
		if _, err := l.conn.Write(p); err != nil {
			return 0, l.fail("TLS", err)
		}
	}
	return len(p), l.flush()
}

func (l *tlsLayer) read() ([]byte, error) {
	p, err := l.receive()
	if len(p) == 0 || err != nil {
		return nil, err
	}
	if len(l.in) > 0 {
		p = append(l.in, p...)
	}
	l.in = p
	plain := l.g.plain[:0]
	for {
		if len(plain) == cap(plain) {
			plain = append(plain, make([]byte, receiveBuffer)...)[:len(plain)]
		}
		n, err := l.conn.Read(plain[len(plain):cap(plain)])
		plain = plain[:len(plain)+n]
		if err == errNothing {
			break
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, l.fail("TLS", err)
		}
	}
	l.in = nil // all of it was read
	l.g.plain = plain
	return plain, nil
}

func (l *tlsLayer) close() { l.stop() }

// feed is the net.Conn below a tls.Conn.
type feed struct{ layer *tlsLayer }

// Read implements net.Conn.
func (f feed) Read(p []byte) (int, error) {
	l := f.layer
	for len(l.in) == 0 {
		if l.yield == nil {
			return 0, errNothing
		}
		if !l.yield() {
			return 0, net.ErrClosed
		}
	}
	n := copy(p, l.in)
	l.in = l.in[n:]
	return n, nil
}

// Write implements net.Conn.
func (f feed) Write(p []byte) (int, error) {
	f.layer.rest = append(f.layer.rest, p...)
	return len(p), nil
}

// Close implements net.Conn, as all below do. It does nothing: the socket is somebody else's.
func (feed) Close() error { return nil }

// LocalAddr is nobody's.
func (feed) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is nobody's.
func (feed) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline does nothing: nothing waits.
func (feed) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (feed) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (feed) SetWriteDeadline(time.Time) error { return nil }
