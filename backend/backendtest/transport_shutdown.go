package backendtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// drainHooks are Hooks with OnDrain.
type drainHooks struct {
	*Hooks
	drain func(*session.Stream)
}

func (h drainHooks) OnDrain(s *session.Stream) {
	defer h.enter(s, "OnDrain")()
	h.drain(s)
}

// nothingLeft checks at once, without waiting, that a Transport has ended and left nothing.
func (e *Env) nothingLeft(files int, t *session.Engine, hooks ...*Hooks) {
	e.Helper()
	n := len(takeCensus().files)
	assert.LessOrEqual(e, n, files, "descriptors")
	s := t.Stats()
	assert.Zero(e, s.Streams, "figures after the end: %+v", s)
	assert.Equal(e, s.Closed, s.Opened, "figures after the end: %+v", s)
	assert.Zero(e, s.Sockets, "figures after the end: %+v", s)
	assert.Zero(e, s.Requests, "figures after the end: %+v", s)
	assert.Zero(e, s.BuffersTaken, "figures after the end: %+v", s)
	for _, h := range hooks {
		h.check()
	}
}

// overAtLast waits for the end of a Transport whose Shutdown says that it is not over yet: the machine was too busy for
// the time that aborted streams have.
func (e *Env) overAtLast(t *session.Engine, err error) {
	e.Helper()
	if err != nil && err != context.DeadlineExceeded { //nolint:errorlint // that alone says that all is over
		assert.ErrorContains(e, err, "still ending")
		require.NoError(e, t.Close())
	}
}

// shutdown ends streams in every state.
func shutdown(e *Env) {
	t := e.Open(nil)
	h := NewHooks()
	h.Data = func(s *session.Stream) { _, _ = s.Next(-1) }
	o := session.StreamOptions{CloseTimeout: 20 * time.Millisecond, AllowHalfClose: true}
	patient := session.StreamOptions{CloseTimeout: patience}

	idle, idlePeer := e.PairOn(t, h, o)
	paused, pausedPeer := e.PairOn(t, h, o)
	paused.PauseRead()
	_, err := pausedPeer.Write(Pattern(1000))
	require.NoError(e, err, "write")
	half, halfPeer := e.PairOn(t, h, o)
	require.NoError(e, halfPeer.CloseWrite(), "close for writing")
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	finished, _ := e.PairOn(t, h, o)
	require.NoError(e, finished.CloseWrite(), "CloseWrite")
	closing, _ := e.PairOn(t, h, o)
	require.NoError(e, closing.Close(), "close")
	stuck, _ := e.PairOn(t, h, o)              // its peer does not read
	_, err = stuck.Write(make([]byte, 64<<20)) // more than tcp_rmem and tcp_wmem allow
	require.NoError(e, err, "write")
	writing, writingPeer := e.PairOn(t, h, patient)
	want := Pattern(3 << 20)
	_, err = writing.Write(want)
	require.NoError(e, err, "write")
	got := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(writingPeer); got <- b }()
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err, "listen")
	dials := NewHooks()
	if e.Network == "tcp" {
		dials.env(e)
		_, err = t.Connect("tcp", e.unreachable(), dials, nil)
		require.NoError(e, err, "connect")
	}

	require.NoError(e, t.Shutdown(e.patient()), "shutdown")
	e.nothingLeft(1<<20, t, h, dials)
	assert.Zero(e, dials.Count("OnOpen"), "OnOpen of a stream that was being dialled")
	b := arrives(e, got)
	assert.Equal(e, string(want), string(b), "the peer read %d bytes, not the %d that were queued", len(b), len(want))
	n := h.deadlines()
	assert.Equal(e, 1, n, "streams that ran out of time")
	for _, p := range []Peer{idlePeer, halfPeer} {
		n, err := p.Read(make([]byte, 1))
		assert.Zero(e, n, "what the peer read")
		assert.Equal(e, io.EOF, err, "what the peer read")
	}
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	require.NoError(e, err, "the address is not free")
	_ = again.Close()
	_, err = idle.Write([]byte("x"))
	assert.ErrorIs(e, err, net.ErrClosed, "a write after the end")
	_, err = half.Write([]byte("x"))
	assert.ErrorIs(e, err, net.ErrClosed, "a write after the end")
}

// deadlines counts the streams that ran out of time. All others must have ended without an error.
func (h *Hooks) deadlines() (n int) {
	h.e.Helper()
	for range h.Count("OnClose") {
		if err := h.Closed(); errors.Is(err, os.ErrDeadlineExceeded) {
			n++
		} else if err != nil {
			h.e.Errorf("OnClose(%v)", err)
		}
	}
	return n
}

// drain shuts down with handlers that have OnDrain. They end their streams; other streams are closed.
func drain(e *Env) {
	t := e.Open(nil)
	told := make(chan *session.Stream, 10)
	h := drainHooks{NewHooks(), func(s *session.Stream) { told <- s }}
	h.Data = func(s *session.Stream) {
		p, _ := s.Next(-1)
		_, _ = s.Write(p)
		if strings.Contains(string(p), "bye") {
			_ = s.Close()
		}
	}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	plain := NewHooks()
	_, a := e.PairOn(t, h.Hooks, session.StreamOptions{})
	_, b := e.PairOn(t, h.Hooks, session.StreamOptions{})
	e.PairOn(t, plain, session.StreamOptions{})
	result := make(chan error, 1)
	go func() { result <- t.Shutdown(e.patient()) }()
	first, second := arrives(e, told), arrives(e, told)
	assert.NotSame(e, second, first, "a stream was told twice")
	assert.NoError(e, plain.Closed(), "the error of OnClose of a handler without OnDrain")
	e.pingPong(a) // the others go on as before
	_, err := a.Write([]byte("bye"))
	require.NoError(e, err, "write")
	err = h.Closed()
	assert.NoError(e, err, "the error of OnClose")
	select {
	case err := <-result:
		e.Errorf("Shutdown returned %v while a stream was open", err)
	case <-time.After(moment):
	}
	e.pingPong(b)
	_, err = b.Write([]byte("bye"))
	require.NoError(e, err, "write")
	require.NoError(e, arrives(e, result), "shutdown")
	n := h.Count("OnDrain")
	assert.Equal(e, 2, n, "calls of OnDrain for two streams")
	e.nothingLeft(1<<20, t, h.Hooks, plain)
}

// shutdownContextEnds ends the context of a Shutdown that waits. What is left is aborted, and Shutdown returns why.
func shutdownContextEnds(e *Env) {
	t := e.Open(nil)
	h := drainHooks{NewHooks(), func(*session.Stream) {}} // never closes
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	stuck := NewHooks()
	_, p := e.PairOn(t, h.Hooks, session.StreamOptions{})
	s, q := e.PairOn(t, stuck, session.StreamOptions{CloseTimeout: patience})
	_, err := s.Write(make([]byte, 8<<20))
	require.NoError(e, err, "write")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	err = t.Shutdown(ctx)
	assert.ErrorIs(e, err, context.DeadlineExceeded, "Shutdown returned")
	e.overAtLast(t, err)
	e.nothingLeft(1<<20, t, h.Hooks, stuck)
	for _, h := range []*Hooks{h.Hooks, stuck} {
		err := h.Closed()
		assert.ErrorIs(e, err, net.ErrClosed, "the error of OnClose")
	}
	if e.Network == "unix" {
		return
	}
	for _, p := range []Peer{p, q} {
		_, err := io.Copy(io.Discard, p)
		assert.ErrorIs(e, err, syscall.ECONNRESET, "the peer of an aborted stream read")
	}
}

// shutdownInCallback shuts a Transport down in its own callback. It is an error, and the Transport goes on.
func shutdownInCallback(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(nil)
	results := make(chan error, 2)
	h := NewHooks()
	h.Open = func(*session.Stream) {
		results <- t.Shutdown(e.patient())
		results <- t.Close()
	}
	_, p := e.PairOn(t, h, session.StreamOptions{})
	for range 2 {
		assert.Error(e, arrives(e, results), "a Transport can be shut down by its own callback")
	}
	_, err := p.Write([]byte("alive"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
	require.NoError(e, t.Shutdown(e.patient()), "shutdown")
}

// shutdownTwice calls Shutdown several times at once, and Close while it waits. All return when nothing is left.
func shutdownTwice(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(nil)
	release := make(chan *session.Stream, 1)
	h := drainHooks{NewHooks(), func(s *session.Stream) { release <- s }}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	e.PairOn(t, h.Hooks, session.StreamOptions{})
	var wg sync.WaitGroup
	var returned atomic.Int32
	for range 3 {
		wg.Go(func() {
			assert.NoError(e, t.Shutdown(e.patient()), "shutdown")
			returned.Add(1)
		})
	}
	s := arrives(e, release)
	time.Sleep(moment)
	assert.Zero(e, returned.Load(), "one of several Shutdowns returned before the end")
	require.NoError(e, s.Close(), "close")
	wg.Wait()
	require.NoError(e, t.Shutdown(ended()), "shutdown again")
	require.NoError(e, t.Close(), "close after it")
	n := h.Count("OnDrain")
	assert.Equal(e, 1, n, "calls of OnDrain")

	// The end of a second caller's context ends the wait of the first, too.
	t = e.Open(nil)
	h = drainHooks{NewHooks(), func(s *session.Stream) { release <- s }}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	e.PairOn(t, h.Hooks, session.StreamOptions{})
	first := make(chan error, 1)
	go func() { first <- t.Shutdown(e.patient()) }()
	arrives(e, release)
	require.NoError(e, t.Close(), "close")
	_ = arrives(e, first)
	e.nothingLeft(1<<20, t, h.Hooks)
}

// afterShutdown uses a Transport that has ended. Every method returns net.ErrClosed.
func afterShutdown(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(nil)
	h := NewHooks()
	s, _ := e.PairOn(t, h, session.StreamOptions{})
	l := e.listenPlain("tcp", "127.0.0.1:0")
	require.NoError(e, t.Close(), "close")
	path := filepath.Join(e.TempDir(), "s")
	_, listenErr := t.Listen("unix", path, h, nil)
	_, err := os.Lstat(path)
	assert.Error(e, err, "a Listen that failed left its file")
	_, tcpErr := t.Listen("tcp", "127.0.0.1:0", h, nil)
	_, dialErr := t.Dial(e.patient(), "tcp", l.Addr().String(), h, nil)
	_, connectErr := t.Connect("tcp", l.Addr().String(), h, nil)
	a, b := e.connPair("tcp")
	defer a.Close()
	defer b.Close()
	_, adoptErr := t.Adopt(a.(syscall.Conn), h)
	for what, err := range map[string]error{
		"Listen": listenErr, "Listen on tcp": tcpErr, "Dial": dialErr, "Connect": connectErr, "Adopt": adoptErr, "Post": s.Post(func() {}),
	} {
		assert.ErrorIs(e, err, net.ErrClosed, "%s after the end", what)
	}
	_, err = t.Poll(0)
	assert.Error(e, err, "Poll of a Transport that has ended, and was not driven by its caller, returned no error")
	n := h.Count("OnClose")
	assert.Equal(e, 1, n, "calls of OnClose")
}

// beginningsMeanwhile begins streams while a shutdown waits. Each has its end before the shutdown has.
func beginningsMeanwhile(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	l := e.listenPlain("tcp", "127.0.0.1:0")
	late := NewHooks()
	late.env(e)
	begun, asked := 0, make(chan struct{})
	h := drainHooks{Hooks: NewHooks()}
	h.drain = func(s *session.Stream) {
		defer close(asked)
		for range 5 {
			if _, err := t.Connect("tcp", l.Addr().String(), late, nil); err == nil {
				begun++
			}
			a, b := e.connPair("tcp")
			if _, err := t.Adopt(a.(syscall.Conn), late); err == nil {
				begun++
			} else {
				_ = a.Close()
			}
			_ = b.Close()
		}
	}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	s, p := e.PairOn(t, h.Hooks, session.StreamOptions{})
	result := make(chan error, 1)
	go func() { result <- t.Shutdown(e.patient()) }()
	arrives(e, asked)
	for range begun {
		err := late.Closed()
		assert.ErrorIs(e, err, net.ErrClosed, "the error of OnClose")
	}
	assert.Zero(e, late.Count("OnOpen"), "OnOpen during a shutdown")
	select {
	case err := <-result:
		e.Errorf("Shutdown returned %v while a stream was open", err)
	case <-time.After(moment):
	}
	_, err := p.Write([]byte("alive"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
	require.NoError(e, s.Close(), "close")
	require.NoError(e, arrives(e, result), "shutdown")
	e.nothingLeft(1<<20, t, h.Hooks, late)
}

// writesMeanwhile uses streams from other goroutines while their Transport ends.
func writesMeanwhile(e *Env) {
	t := e.Open(nil)
	h := NewHooks()
	var wg sync.WaitGroup
	var gone atomic.Bool
	for range 4 {
		s, p := e.PairOn(t, h, session.StreamOptions{})
		go func() { _, _ = io.Copy(io.Discard, p) }()
		wg.Go(func() {
			for !gone.Load() {
				_, _ = s.Write([]byte("more and more"))
				_ = s.Post(func() {})
				s.PauseRead()
				s.ResumeRead()
				s.After(time.Microsecond, func() {}).Stop()
				s.SetIdleTimeout(time.Hour)
				_ = s.LocalAddr()
				runtime.Gosched()
			}
		})
	}
	time.Sleep(time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := t.Shutdown(ctx); err != nil {
		assert.ErrorIs(e, err, context.DeadlineExceeded, "shutdown")
		e.overAtLast(t, err)
	}
	e.nothingLeft(1<<20, t, h)
	gone.Store(true)
	wg.Wait()
}
