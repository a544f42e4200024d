package backendtest

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on the Conn that Detach returns for a stream with TLS. Those of detach.go hold for it, too, in setups with TLS.
var detachTLSRules = []Rule{
	{"S30_DetachTLS", detachTLS},
	{"S30_DetachTLSAtOnce", detachTLSAtOnce},
	{"S30_DetachTLSDuringWrites", detachTLSDuringWrites},
	{"S30_DetachTLSInTheHandshake", detachTLSInHandshake},
	{"S30_DetachTLSKeyUpdates", detachTLSKeyUpdates},
}

// detachTLS gives a connection away in OnData, with bytes unread and queued, and goes on in both directions until both ends
// have said close_notify.
func detachTLS(e *Env) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		h, conns := NewHooks(), make(chan net.Conn, 1)
		h.Data = func(s *session.Stream) {
			_, _ = s.Write([]byte("queued,"))
			_, _ = s.Next(2)
			c, err := s.Detach()
			assert.NoError(e, err)
			_, err = c.Write([]byte("early,"))
			assert.NoError(e, err)
			conns <- c
		}
		config := serverTLS()
		config.MaxVersion = version
		p := e.tlsPeer(e.listenTLS(e.Under(), h, &session.ListenOptions{TLS: config}), clientTLS())
		_, err := p.Write([]byte("a message"))
		require.NoError(e, err)
		c := arrives(e, conns)
		h.closedWith(nil)
		require.Equal(e, version, c.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState().Version)
		_, err = c.Write([]byte("late"))
		require.NoError(e, err)
		got := make([]byte, len("queued,early,late"))
		_, err = io.ReadFull(p, got)
		require.NoError(e, err)
		assert.Equal(e, "queued,early,late", string(got))
		e.reads(c, []byte("message"), "unread plain bytes")
		go func() { _, _ = io.Copy(c, c) }()
		e.echoes(p, 500_000)
		require.NoError(e, p.CloseWrite())
		require.NoError(e, c.(halfCloser).CloseWrite())
		_, err = p.Read(got)
		require.Equal(e, io.EOF, err, "the end")
		require.NoError(e, c.Close())
		require.ErrorIs(e, c.Close(), net.ErrClosed)
		_, err = c.Write(got)
		require.ErrorIs(e, err, net.ErrClosed)
	}
}

// detachTLSAtOnce closes the Conn in the same callback. The peer gets all, and close_notify.
func detachTLSAtOnce(e *Env) {
	for name, end := range map[string]func(net.Conn) error{
		"Close": net.Conn.Close, "CloseWrite": func(c net.Conn) error { return c.(halfCloser).CloseWrite() },
	} {
		h, conns := NewHooks(), make(chan net.Conn, 1)
		h.Open = func(s *session.Stream) {
			_, _ = s.Write(Pattern(200_000))
			c, err := s.Detach()
			assert.NoError(e, err)
			_, err = c.Write([]byte("end"))
			assert.NoError(e, err)
			assert.NoError(e, end(c), name)
			conns <- c
		}
		config := serverTLS()
		config.MaxVersion = tls.VersionTLS12 // in which an alert shows
		seen := &recorded{Conn: e.rawPeer(e.listenTLS(e.Under(), h, &session.ListenOptions{TLS: config}))}
		got, err := io.ReadAll(tls.Client(seen, clientTLS()))
		require.NoError(e, err, name)
		assert.True(e, bytes.Equal(append(Pattern(200_000), "end"...), got), name)
		assert.EqualValues(e, alertRecord, seen.last(), "%s: the kind of the last record", name)
		_ = arrives(e, conns).Close()
	}
}

// recorded keeps what is read.
type recorded struct {
	net.Conn
	all []byte
}

func (r *recorded) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.all = append(r.all, p[:n]...)
	return n, err
}

// last returns the kind of the last record.
func (r *recorded) last() (kind byte) {
	for p := r.all; len(p) >= 5; p = p[min(5+int(p[3])<<8+int(p[4]), len(p)):] {
		kind = p[0]
	}
	return kind
}

// detachTLSDuringWrites gives a connection away while a write is being encrypted on another goroutine.
func detachTLSDuringWrites(e *Env) {
	held, h, s, p := e.holdWrites()
	result := make(chan error, 1)
	go func() { _, err := s.Write([]byte("first,")); result <- err }()
	arrives(e, held.reads)
	c, err := s.Detach()
	require.NoError(e, err)
	time.Sleep(moment / 3) // the loop looks at the stream while the write is held back
	held.letGo()
	require.NoError(e, arrives(e, result), "Write")
	_, err = c.Write([]byte("second"))
	require.NoError(e, err)
	require.NoError(e, c.Close())
	got, err := io.ReadAll(p)
	require.NoError(e, err)
	assert.Equal(e, "first,second", string(got))
	h.closedWith(nil)
}

// detachTLSInHandshake asks for a connection whose handshake is not done.
func detachTLSInHandshake(e *Env) {
	h, errs := NewHooks(), make(chan error, 1)
	h.Data = func(s *session.Stream) {
		_, _ = s.Next(-1)
		assert.NoError(e, s.StartTLS(serverTLS(), true))
		_, err := s.Detach()
		errs <- err
	}
	l, err := e.Under().Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	e.Cleanup(func() { _ = l.Close() })
	_, err = e.rawPeer(l.Addr()).Write([]byte("TLS"))
	require.NoError(e, err)
	err = arrives(e, errs)
	e.opError(err, "detach", e.Network)
	require.ErrorContains(e, err, "handshake")
	h.StillOpen()
}

// detachTLSKeyUpdates has the peer of a Conn ask for new keys, and read nothing until the Conn is closed.
func detachTLSKeyUpdates(e *Env) {
	h, conns := NewHooks(), make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		c, err := s.Detach()
		assert.NoError(e, err)
		conns <- c
	}
	f := e.forge(e.listenTLS(e.Under(), h, &session.ListenOptions{}))
	f.send(f.record(dataRecord, 'x'), f.keyUpdate(1), f.record(dataRecord, 'y'), f.keyUpdate(1), f.record(dataRecord, 'z'))
	c := arrives(e, conns)
	e.reads(c, []byte("xyz"), "between key updates")
	_, err := c.Write([]byte("answer"))
	require.NoError(e, err)
	require.NoError(e, c.Close())
	got, err := io.ReadAll(f)
	require.NoError(e, err)
	assert.Equal(e, "answer", string(got))
}
