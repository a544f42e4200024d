package backendtest

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// The rules on peers that get TLS wrong.
var tlsFailureRules = []Rule{
	{"T03_Truncated", tlsTruncated},
	{"T03_TruncatedMessage", tlsTruncatedMessage},
	{"T03_CutInARecord", tlsCut},
	{"T03_CloseNotify", tlsCloseNotify},
	{"T03_FailedHandshakes", tlsFailedHandshakes},
	{"T03_HandshakeTimeout", tlsTimeout},
	{"T03_PlainRequest", tlsPlainRequest},
	{"T03_GarbageBehindTheHandshake", tlsGarbage},
}

// tlsSilent has peers that connect and say nothing, or a part of a record.
func tlsSilent(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	before := runtime.NumGoroutine()
	if e.Goroutines {
		before += 50
	}
	for i := range 50 {
		c := e.rawPeer(a)
		if i%2 == 0 {
			_, err := c.Write([]byte{22, 3, 1, 1, 0, 1})
			require.NoError(e, err)
		}
	}
	e.Eventually(func() bool { return e.Under().Stats().Streams == 50 }, "50 connections")
	assert.LessOrEqual(e, runtime.NumGoroutine(), before+5, "goroutines")
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
	assert.Zero(e, h.Count("OnClose"))
}

// tlsLimit counts how many handshakes run at once.
func tlsLimit(e *Env) {
	const limit, peers = 3, 12
	t := e.Open(func(o *Options) { o.Handshakes, o.Loops = limit, 1 })
	var now, most atomic.Int32
	server := serverTLS()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond) // so that others are at it meanwhile, if they may be
		now.Add(-1)
		return nil, nil
	}
	a := e.listenTLS(t, echo(), &session.ListenOptions{TLS: server})
	results := make(chan error, peers)
	for range peers {
		go func() {
			c, err := net.DialTimeout(a.Network(), a.String(), patience)
			if err == nil {
				_ = c.SetDeadline(time.Now().Add(patience))
				err = tls.Client(c, clientTLS()).Handshake()
				_ = c.Close()
			}
			results <- err
		}()
	}
	for range peers {
		require.NoError(e, arrives(e, results))
	}
	assert.LessOrEqual(e, most.Load(), int32(limit), "handshakes at once")
	assert.Positive(e, most.Load())
}

// tlsStalled has as many peers as there may be handshakes say hello, and then nothing.
func tlsStalled(e *Env) {
	t := e.Open(func(o *Options) { o.Handshakes, o.Loops = 2, 1 })
	a := e.listenTLS(t, echo(), &session.ListenOptions{})
	for range 5 {
		c := tls.Client(mute{e.rawPeer(a)}, clientTLS())
		go func() { _ = c.Handshake() }()
	}
	e.Eventually(func() bool { return t.Stats().Streams == 5 && t.Stats().TLSOverhead > 0 }, "the hellos of those that stall")
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
}

// mute reads nothing until it is closed.
type mute struct{ net.Conn }

func (c mute) Read([]byte) (int, error) {
	_ = c.Conn.SetReadDeadline(time.Now().Add(patience))
	for {
		if _, err := c.Conn.Read(make([]byte, 1)); err != nil {
			return 0, err
		}
	}
}

// tlsTruncated has a peer that finishes by a FIN alone, between two records.
func tlsTruncated(e *Env) {
	h := echo()
	truncated := make(chan bool, 1)
	h.EOF = func(s *session.Stream) {
		state, _ := s.TLS()
		truncated <- state.Truncated
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 1000)
	require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
	assert.True(e, arrives(e, truncated), "Truncated")
	h.closedWith(nil)
}

// tlsTruncatedMessage has a peer that finishes behind a part of a line. The end makes it a whole line only if the peer has
// said that it is the end.
func tlsTruncatedMessage(e *Env) {
	for _, notify := range []bool{true, false} {
		lines, closed := make(chan string, 10), make(chan error, 1)
		h := session.Frames[[]byte](frame.Line{}, func(_ *session.Stream, line []byte) { lines <- string(line) })
		h.EOF = func(*session.Stream) { lines <- "EOF" }
		h.Close = func(_ *session.Stream, err error) { closed <- err }
		l, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{TLS: serverTLS()})
		require.NoError(e, err)
		c := e.tlsPeer(l.Addr(), clientTLS())
		_, err = c.Write([]byte("whole\npart"))
		require.NoError(e, err)
		if notify {
			require.NoError(e, c.CloseWrite())
		}
		require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
		assert.Equal(e, "whole", arrives(e, lines))
		if notify {
			assert.Equal(e, "part", arrives(e, lines))
			assert.Equal(e, "EOF", arrives(e, lines))
			assert.NoError(e, arrives(e, closed))
		} else {
			require.ErrorIs(e, arrives(e, closed), io.ErrUnexpectedEOF)
			assert.Empty(e, lines)
		}
		require.NoError(e, l.Close())
	}
}

// tlsCut has a peer whose FIN comes within a record.
func tlsCut(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 1000)
	_, err := c.NetConn().Write([]byte{23, 3, 3, 0, 100, 1, 2, 3})
	require.NoError(e, err)
	require.NoError(e, c.NetConn().(halfCloser).CloseWrite())
	h.closedWith(io.ErrUnexpectedEOF)
	assert.Zero(e, h.Count("OnEOF"))
}

// tlsCloseNotify has both ends say close_notify, and only then finish.
func tlsCloseNotify(e *Env) {
	h := echo()
	truncated := make(chan bool, 1)
	h.EOF = func(s *session.Stream) {
		state, _ := s.TLS()
		truncated <- state.Truncated
		_, _ = s.Write([]byte("bye"))
	}
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	c := e.tlsPeer(a, clientTLS())
	e.echoes(c, 100_000)
	require.NoError(e, c.CloseWrite())
	assert.False(e, arrives(e, truncated), "Truncated")
	got := make([]byte, 3)
	_, err := io.ReadFull(c, got)
	require.NoError(e, err)
	assert.Equal(e, "bye", string(got))
	_, err = c.Read(got)
	assert.Equal(e, io.EOF, err, "the end")
	h.closedWith(nil)
}

// tlsFailedHandshakes has peers that send what is no handshake. No handler hears of them, and they are told.
func tlsFailedHandshakes(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	for name, p := range map[string][]byte{
		"plain text": []byte("GET / HTTP/1.1\r\n\r\n"), "an alert": {21, 3, 3, 0, 2, 2, 40}, "no hello": {22, 3, 1, 0, 4, 99, 0, 0, 0},
		"too large": {22, 3, 1, 255, 255, 1}, "zeros": make([]byte, 100), "data": {23, 3, 3, 0, 3, 1, 2, 3},
	} {
		c := e.rawPeer(a)
		_, err := c.Write(p)
		require.NoError(e, err, name)
		_, err = io.ReadAll(c) // an alert, or nothing
		assert.NotErrorIs(e, err, os.ErrDeadlineExceeded, "%s: the connection did not end", name)
	}
	c := e.rawPeer(a) // a FIN instead
	require.NoError(e, c.(halfCloser).CloseWrite())
	_, err := io.ReadAll(c)
	require.NoError(e, err, "a FIN instead of a hello")
	e.Eventually(func() bool {
		s := e.Under().Stats()
		return s.Streams == 0 && s.TLSHandshakeErrors == 7
	}, "the end of all seven, and their count")
	assert.Zero(e, h.Count("OnOpen"))
	assert.Zero(e, h.Count("OnClose"))
	e.echoes(e.tlsPeer(a, clientTLS()), 1000)
}

// tlsTimeout has a peer that says hello, and then nothing.
func tlsTimeout(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{StreamOptions: session.StreamOptions{TLSHandshakeTimeout: 50 * time.Millisecond}})
	silent := e.rawPeer(a)
	c := tls.Client(mute{e.rawPeer(a)}, clientTLS())
	go func() { _ = c.Handshake() }()
	_, err := io.ReadAll(silent)
	assert.NotErrorIs(e, err, os.ErrDeadlineExceeded, "a silent connection was not closed")
	e.Eventually(func() bool { s := e.Under().Stats(); return s.Streams == 0 && s.TLSHandshakeErrors == 2 }, "the end of both")
	assert.Zero(e, h.Count("OnClose"))
}

// tlsPlainRequest answers a peer that does not speak TLS.
func tlsPlainRequest(e *Env) {
	const answer = "HTTP/1.0 400 Bad Request\r\n\r\nThis is TLS.\n"
	o := session.ListenOptions{NotTLS: func(begins []byte) []byte {
		assert.Equal(e, "GET /", string(begins))
		return []byte(answer)
	}}
	a := e.listenTLS(e.Under(), echo(), &o)
	c := e.rawPeer(a)
	_, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(e, err)
	got, err := io.ReadAll(c)
	require.NoError(e, err)
	assert.Equal(e, answer, string(got))
}

// tlsGarbage sends what cannot be decrypted. The peer gets an alert, and the others live.
func tlsGarbage(e *Env) {
	h := echo()
	a := e.listenTLS(e.Under(), h, &session.ListenOptions{})
	other := e.tlsPeer(a, clientTLS())
	for _, p := range [][]byte{
		{23, 3, 3, 0, 30, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30},
		{23, 3, 3, 0xff, 0xff, 1}, []byte("nonsense"), {22, 3, 3, 0, 1, 0},
	} {
		c := e.tlsPeer(a, clientTLS())
		e.echoes(c, 1000)
		_, err := c.NetConn().Write(p)
		require.NoError(e, err)
		_, err = c.Read(make([]byte, 1))
		var alert *net.OpError
		require.ErrorAs(e, err, &alert, "what the peer reads")
		assert.Equal(e, "remote error", alert.Op, "%v is no alert", err)
		_ = c.NetConn().Close()
		err = h.Closed()
		e.opError(err, "read", e.Network)
	}
	e.echoes(other, 1000)
}
