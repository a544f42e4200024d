package backendtest

import (
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/session"
)

// The rules on Connect, which does not wait.

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
	e.Check(err, "connect")
	close(gate) // Connect has returned before OnOpen did
	c, err := l.Accept()
	e.Check(err, "accept")
	if h.Opened() != s {
		e.Error("OnOpen was called for another stream")
	}
	e.pingPong(e.plain(c))

	if e.Network == "unix" {
		return // where a full backlog is an error at once, as with net.Dial
	}
	waits := NewHooks()
	waits.env(e)
	s, err = e.Under().Connect("tcp", e.unreachable(), waits, nil)
	e.Check(err, "connect")
	waits.StillOpen()
	if waits.Count("OnOpen") != 0 {
		e.Error("OnOpen without a connection")
	}
	if s.LocalAddr() != nil || s.RemoteAddr() != nil {
		e.Errorf("there is no connection, from %v to %v", s.LocalAddr(), s.RemoteAddr())
	}
	if _, err := s.SyscallConn(); !errors.Is(err, net.ErrClosed) {
		e.Errorf("SyscallConn without a connection: %v", err)
	}
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
		e.Check(err, "connect")
		notified := make(chan error, 2)
		e.Check(s.WriteNotify([]byte("lost"), func(err error) { notified <- err }), "write")
		e.Check(end(s), "end")
		if err := waits.Closed(); !errors.Is(err, net.ErrClosed) {
			e.Errorf("OnClose(%v)", err)
		}
		if err := arrives(e, notified); !errors.Is(err, net.ErrClosed) {
			e.Errorf("the bytes that were never sent ended with %v", err)
		}
		if waits.Count("OnOpen") != 0 {
			e.Error("OnOpen without a connection")
		}
		for range 20 { // these race with the connection: whoever wins, there is one OnClose, and last
			h := NewHooks()
			h.env(e)
			s, err := e.Under().Connect("tcp", l.Addr().String(), h, nil)
			e.Check(err, "connect")
			e.Check(end(s), "end")
			h.Closed()
		}
	}
	e.settled(e.Under())
}

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
	e.Check(blocker.Post(func() { <-gate }), "post") // so that the loop cannot connect yet
	s, err := t.Connect(e.Network, l.Addr().String(), h, nil)
	e.Check(err, "connect")
	notified := make(chan error, 1)
	_, err = s.Write([]byte("one"))
	e.Check(err, "Write")
	_, err = s.Writev(net.Buffers{[]byte(" "), []byte("two")})
	e.Check(err, "Writev")
	e.Check(s.WriteNotify([]byte(" three"), func(err error) { notified <- err }), "WriteNotify")
	e.Check(s.Flush(), "Flush")
	if n := s.Queued(); n != len("one two three") {
		e.Errorf("Queued is %d", n)
	}
	s.PauseRead()
	close(gate)
	c, err := l.Accept()
	e.Check(err, "accept")
	p := e.plain(c)
	if got := string(e.ReadAll(p, len("one two three four"))); got != "one two three four" {
		e.Errorf("the peer read %q", got)
	}
	e.Check(arrives(e, notified), "WriteNotify's function")
	_, err = p.Write([]byte("paused"))
	e.Check(err, "write")
	time.Sleep(moment)
	if h.Count("OnData") != 0 {
		e.Error("a pause from before OnOpen was forgotten")
	}
	s.ResumeRead()
	e.Eventually(func() bool { return h.Len() == 6 }, "bytes")
}
