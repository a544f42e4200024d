package backendtest

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on Connect, which does not wait.

// connect connects without waiting. OnOpen comes when there is a connection, and not before.
func connect(e *Env) {
	if e.Peers != nil {
		return // the peers are of package net here
	}
	l := e.listenPlain(e.Network, e.Address())
	gate := make(chan struct{})
	h := echo()
	h.Open = func(*session.Stream) { <-gate }
	h.env(e)
	s, err := e.Under().Connect(e.Network, l.Addr().String(), h, nil)
	require.NoError(e, err, "connect")
	close(gate) // Connect has returned before OnOpen did
	c, err := l.Accept()
	require.NoError(e, err, "accept")
	assert.Same(e, s, h.Opened(), "OnOpen was called for another stream")
	e.pingPong(e.plain(c))

	if e.Network == "unix" {
		return // where a full backlog is an error at once, as with net.Dial
	}
	waits := NewHooks()
	waits.env(e)
	s, err = e.Under().Connect("tcp", e.unreachable(), waits, nil)
	require.NoError(e, err, "connect")
	waits.StillOpen()
	assert.Zero(e, waits.Count("OnOpen"), "OnOpen without a connection")
	assert.Nil(e, s.LocalAddr(), "addresses without a connection")
	assert.Nil(e, s.RemoteAddr(), "addresses without a connection")
	_, err = s.SyscallConn()
	assert.ErrorIs(e, err, net.ErrClosed, "SyscallConn without a connection")
}

// connectInCallbacks connects from OnOpen, OnData and OnClose, a chain of streams.
func connectInCallbacks(e *Env) {
	if e.Peers != nil {
		return
	}
	h := echo()
	server := e.listenOn(e.Network, e.Address(), h)
	const links = 12
	var made atomic.Int32
	done := make(chan struct{})
	chain := NewHooks()
	next := func() {
		switch n := made.Add(1); {
		case n < links:
			if _, err := e.Under().Connect(e.Network, server.Addr().String(), chain, nil); err != nil && !errors.Is(err, net.ErrClosed) { // at the rule's end
				e.Errorf("Connect in a callback: %v", err)
			}
		case n == links:
			close(done)
		}
	}
	chain.Open = func(s *session.Stream) {
		_, _ = s.Write([]byte("x"))
		if made.Load()%3 == 0 {
			next()
		}
	}
	chain.Data = func(s *session.Stream) {
		_, _ = s.Next(-1)
		if made.Load()%3 == 1 {
			next()
		}
		_ = s.Close()
	}
	chain.Close = func(s *session.Stream, err error) { next() }
	chain.env(e)
	next()
	select {
	case <-done:
	case <-time.After(patience):
		e.Fatalf("the chain broke at %d", made.Load())
	}
}

// closeBeforeConnected ends streams that are not connected yet. There is OnClose alone, and pending writes are told.
func closeBeforeConnected(e *Env) {
	if !e.once() {
		return
	}
	address := e.unreachable()
	l := e.listenPlain("tcp", "127.0.0.1:0")
	for _, end := range []func(*session.Stream) error{(*session.Stream).Close, (*session.Stream).Abort} {
		waits := NewHooks()
		waits.env(e)
		s, err := e.Under().Connect("tcp", address, waits, nil)
		require.NoError(e, err, "connect")
		notified := make(chan error, 2)
		require.NoError(e, s.WriteNotify([]byte("lost"), func(err error) { notified <- err }), "write")
		require.NoError(e, end(s), "end")
		err = waits.Closed()
		assert.ErrorIs(e, err, net.ErrClosed, "the error of OnClose")
		assert.ErrorIs(e, arrives(e, notified), net.ErrClosed, "the bytes that were never sent ended with")
		assert.Zero(e, waits.Count("OnOpen"), "OnOpen without a connection")
		for range 20 { // these race with the connection: whoever wins, there is one OnClose, and last
			h := NewHooks()
			h.env(e)
			s, err := e.Under().Connect("tcp", l.Addr().String(), h, nil)
			require.NoError(e, err, "connect")
			require.NoError(e, end(s), "end")
			h.Closed()
		}
	}
	e.settled(e.Under())
}

// writeBeforeOpen writes to a stream that is not connected yet. The peer gets all of it, in order.
func writeBeforeOpen(e *Env) {
	if e.Peers != nil {
		return
	}
	l := e.listenPlain(e.Network, e.Address())
	h := NewHooks()
	h.Open = func(s *session.Stream) { _, _ = s.Write([]byte(" four")) }
	h.env(e)
	gate := make(chan struct{})
	block := NewHooks()
	t := e.Open(func(o *Options) { o.Loops = 1 })
	blocker, _ := e.PairOn(t, block, session.StreamOptions{})
	require.NoError(e, blocker.Post(func() { <-gate }), "post") // so that the loop cannot connect yet
	s, err := t.Connect(e.Network, l.Addr().String(), h, nil)
	require.NoError(e, err, "connect")
	notified := make(chan error, 1)
	_, err = s.Write([]byte("one"))
	require.NoError(e, err, "Write")
	_, err = s.Writev(net.Buffers{[]byte(" "), []byte("two")})
	require.NoError(e, err, "Writev")
	require.NoError(e, s.WriteNotify([]byte(" three"), func(err error) { notified <- err }), "WriteNotify")
	require.NoError(e, s.Flush(), "Flush")
	n := s.Queued()
	assert.Equal(e, len("one two three"), n, "Queued")
	s.PauseRead()
	close(gate)
	c, err := l.Accept()
	require.NoError(e, err, "accept")
	p := e.plain(c)
	got := string(e.ReadAll(p, len("one two three four")))
	assert.Equal(e, "one two three four", got, "bytes that the peer read")
	require.NoError(e, arrives(e, notified), "WriteNotify's function")
	_, err = p.Write([]byte("paused"))
	require.NoError(e, err, "write")
	time.Sleep(moment)
	assert.Zero(e, h.Count("OnData"), "a pause from before OnOpen was forgotten")
	s.ResumeRead()
	e.Eventually(func() bool { return h.Len() == 6 }, "bytes")
}
