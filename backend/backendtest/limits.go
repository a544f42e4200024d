package backendtest

import (
	"bytes"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on limits of accepting, and on sockets that come and go.
var limitRules = []Rule{
	{"S27_TooManyFiles", tooManyFiles},
	{"S28_MaxConns", maxConns},
	{"S28_DefaultMaxConns", defaultMaxConns},
	{"S28_RejectOverLimit", rejectOverLimit},
	{"S30_Detach", detach},
	{"S30_DetachInCallback", detachInCallback},
}

// maxConns has more peers connect than MaxConns allows. The others wait, and each gets its turn.
func maxConns(e *Env) {
	t := e.Under()
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 3})
	require.NoError(e, err, "listen")
	const all = 12
	var peers []Peer
	for range all {
		p := e.Connect(l.Addr())
		_, err := p.Write([]byte("hello"))
		require.NoError(e, err, "write")
		peers = append(peers, p)
	}
	var streams []*session.Stream
	for range 3 {
		streams = append(streams, h.Opened())
	}
	time.Sleep(moment)
	for i := 3; i < all; i++ {
		n := h.Count("OnOpen")
		require.Equal(e, i, n, "streams that were opened")
		n = l.Stats().Streams
		require.Equal(e, 3, n, "streams that the listener counts")
		require.NoError(e, streams[0].Close(), "close")
		streams = append(streams[1:], h.Opened())
	}
	e.Eventually(func() bool { return h.Len() == all*5 }, "what all had written")
	require.NoError(e, l.Close(), "close the listener")
	for _, p := range peers {
		_ = p.Close()
	}
}

// rejectOverLimit has more peers connect than MaxConns allows, with RejectOverLimit. They are reset, and counted.
func rejectOverLimit(e *Env) {
	t := e.Under()
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 2, RejectOverLimit: true})
	require.NoError(e, err, "listen")
	e.Connect(l.Addr())
	e.Connect(l.Addr())
	first := h.Opened()
	h.Opened()
	for range 3 {
		c, err := net.Dial(e.Network, l.Addr().String())
		if err == nil {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		assert.Error(e, err, "Read of a connection above the limit")
		if e.Network == "tcp" {
			assert.ErrorIs(e, err, syscall.ECONNRESET, "Read of a connection above the limit")
		}
	}
	n := l.Stats().Rejected
	assert.EqualValues(e, 3, n, "connections that were rejected")
	require.NoError(e, first.Close(), "close")
	h.Closed()
	e.Eventually(func() bool { return l.Stats().Streams == 1 }, "room for another")
	p := e.Connect(l.Addr())
	h.Opened()
	_, err = p.Write([]byte("hello"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "what it wrote")
	require.NoError(e, l.Close(), "close the listener")
}

// detach takes a stream away in mid-conversation, with bytes under way in both directions.
func detach(e *Env) {
	h := NewHooks()
	var got []byte
	h.Data = func(s *session.Stream) {
		if len(got) < 1000 { // and leaves the rest
			b, _ := s.Next(1000 - len(got))
			got = append(got, b...)
		}
	}
	s, p := e.Pair(h, session.StreamOptions{})
	in, out := Pattern(300_000), Pattern(400_000)
	go func() { _, _ = p.Write(in) }()
	e.Eventually(func() bool { return h.Count("OnData") > 0 }, "data")
	_, err := s.Write(out[:200_000])
	require.NoError(e, err, "write")
	c, err := s.Detach()
	require.NoError(e, err, "detach")
	defer c.Close()
	err = h.Closed()
	assert.NoError(e, err, "the error of OnClose")
	_, err = s.Write([]byte("x"))
	assert.ErrorIs(e, err, net.ErrClosed, "Write after Detach")
	wrote := make(chan error, 1)
	go func() { _, err := c.Write(out[200_000:]); wrote <- err }()
	rest := make([]byte, len(in)-len(got))
	n, err := io.ReadFull(c, rest)
	require.NoError(e, err, "the Conn read %d of %d bytes", n, len(rest))
	assert.True(e, bytes.Equal(append(got, rest...), in), "bytes received differ")
	assert.True(e, bytes.Equal(e.ReadAll(p, len(out)), out), "bytes sent differ")
	require.NoError(e, <-wrote, "write to the Conn")
}

// detachInCallback detaches a stream in OnData. The Conn has the bytes behind those that were read, and what was
// written is sent first.
func detachInCallback(e *Env) {
	h := NewHooks()
	conns := make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		line, _ := s.Next(3)
		if string(line) != "up\n" {
			return
		}
		_, _ = s.Write([]byte("ok\n")) // still gathered when the socket goes
		c, err := s.Detach()
		assert.NoError(h.e, err, "detach")
		conns <- c
	}
	_, p := e.Pair(h, session.StreamOptions{})
	want := Pattern(50_000)
	_, err := p.Write(append([]byte("up\n"), want...))
	require.NoError(e, err, "write")
	c := <-conns
	if c == nil {
		return
	}
	defer c.Close()
	h.Closed()
	got := make([]byte, len(want))
	_, err = io.ReadFull(c, got)
	require.NoError(e, err, "read from the Conn")
	assert.True(e, bytes.Equal(got, want), "bytes received differ")
	_, err = c.Write([]byte("bye"))
	require.NoError(e, err, "write to the Conn")
	got = e.ReadAll(p, 6)
	assert.Equal(e, "ok\nbye", string(got), "bytes that the peer read")
}
