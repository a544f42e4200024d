package backendtest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// drainHooks are Hooks of a handler that is told of a shutdown.
type drainHooks struct {
	*Hooks
	drain func(*session.Stream)
}

func (h drainHooks) OnDrain(s *session.Stream) {
	defer h.enter(s, "OnDrain")()
	h.drain(s)
}

// nothingLeft checks at once, without waiting, that a Transport is gone.
func (e *Env) nothingLeft(files int, t *session.Engine, hooks ...*Hooks) {
	e.Helper()
	if n := len(takeCensus().files); n > files {
		e.Errorf("%d descriptors are left", n-files)
	}
	s := t.Stats()
	if s.Streams != 0 || s.Opened != s.Closed || s.Sockets != 0 || s.Requests != 0 || s.BuffersTaken != 0 {
		e.Errorf("left: %+v", s)
	}
	for _, h := range hooks {
		h.check()
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
	e.Check(err, "write")
	half, halfPeer := e.PairOn(t, h, o)
	e.Check(halfPeer.CloseWrite(), "close for writing")
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	finished, _ := e.PairOn(t, h, o)
	e.Check(finished.CloseWrite(), "CloseWrite")
	closing, _ := e.PairOn(t, h, o)
	e.Check(closing.Close(), "close")
	stuck, _ := e.PairOn(t, h, o)              // its peer does not read
	_, err = stuck.Write(make([]byte, 64<<20)) // more than tcp_rmem and tcp_wmem allow
	e.Check(err, "write")
	writing, writingPeer := e.PairOn(t, h, patient)
	want := Pattern(3 << 20)
	_, err = writing.Write(want)
	e.Check(err, "write")
	got := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(writingPeer); got <- b }()
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	e.Check(err, "listen")
	dials := NewHooks()
	if e.Network == "tcp" {
		dials.env(e)
		_, err = t.Connect("tcp", e.unreachable(), dials, nil)
		e.Check(err, "connect")
	}

	e.Check(t.Shutdown(e.patient()), "shutdown")
	e.nothingLeft(1<<20, t, h, dials)
	if dials.Count("OnOpen") != 0 {
		e.Error("OnOpen of a stream that was being dialled")
	}
	if b := arrives(e, got); string(b) != string(want) {
		e.Errorf("the peer read %d bytes, not the %d that were queued", len(b), len(want))
	}
	if n := h.deadlines(); n != 1 {
		e.Errorf("%d streams ran out of time, not one", n)
	}
	for _, p := range []Peer{idlePeer, halfPeer} {
		if n, err := p.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			e.Errorf("the peer read %d bytes and %v, not EOF", n, err)
		}
	}
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	e.Check(err, "the address is not free")
	_ = again.Close()
	if _, err := idle.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		e.Errorf("a write after the end: %v", err)
	}
	if _, err := half.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		e.Errorf("a write after the end: %v", err)
	}
}

// deadlines counts the streams that ran out of time. All others were to end without an error.
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

// drain leaves it to handlers that are told to end their streams.
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
	if first, second := arrives(e, told), arrives(e, told); first == second {
		e.Error("a stream was told twice")
	}
	if err := plain.Closed(); err != nil { // has no OnDrain
		e.Errorf("OnClose(%v)", err)
	}
	e.pingPong(a) // the others go on as before
	_, err := a.Write([]byte("bye"))
	e.Check(err, "write")
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
	select {
	case err := <-result:
		e.Errorf("Shutdown returned %v while a stream was open", err)
	case <-time.After(moment):
	}
	e.pingPong(b)
	_, err = b.Write([]byte("bye"))
	e.Check(err, "write")
	e.Check(arrives(e, result), "shutdown")
	if n := h.Count("OnDrain"); n != 2 {
		e.Errorf("OnDrain was called %d times for two streams", n)
	}
	e.nothingLeft(1<<20, t, h.Hooks, plain)
}

func shutdownContextEnds(e *Env) {
	t := e.Open(nil)
	h := drainHooks{NewHooks(), func(*session.Stream) {}} // never closes
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	stuck := NewHooks()
	_, p := e.PairOn(t, h.Hooks, session.StreamOptions{})
	s, q := e.PairOn(t, stuck, session.StreamOptions{CloseTimeout: patience})
	_, err := s.Write(make([]byte, 8<<20))
	e.Check(err, "write")
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if err := t.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("Shutdown returned %v", err)
	}
	e.nothingLeft(1<<20, t, h.Hooks, stuck)
	for _, h := range []*Hooks{h.Hooks, stuck} {
		if err := h.Closed(); !errors.Is(err, net.ErrClosed) {
			e.Errorf("OnClose(%v)", err)
		}
	}
	if e.Network == "unix" {
		return
	}
	for _, p := range []Peer{p, q} {
		if _, err := io.Copy(io.Discard, p); !errors.Is(err, syscall.ECONNRESET) {
			e.Errorf("the peer of an aborted stream read %v", err)
		}
	}
}

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
		if err := arrives(e, results); err == nil {
			e.Error("a Transport can be shut down by its own callback")
		}
	}
	_, err := p.Write([]byte("alive"))
	e.Check(err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
	e.Check(t.Shutdown(e.patient()), "shutdown")
}

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
			if err := t.Shutdown(e.patient()); err != nil {
				e.Errorf("shutdown: %v", err)
			}
			returned.Add(1)
		})
	}
	s := arrives(e, release)
	time.Sleep(moment)
	if returned.Load() != 0 {
		e.Error("one of several Shutdowns returned before the end")
	}
	e.Check(s.Close(), "close")
	wg.Wait()
	e.Check(t.Shutdown(ended()), "shutdown again")
	e.Check(t.Close(), "close after it")
	if n := h.Count("OnDrain"); n != 1 {
		e.Errorf("OnDrain was called %d times", n)
	}

	// A second caller's context ends the patience of the first.
	t = e.Open(nil)
	h = drainHooks{NewHooks(), func(s *session.Stream) { release <- s }}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	e.PairOn(t, h.Hooks, session.StreamOptions{})
	first := make(chan error, 1)
	go func() { first <- t.Shutdown(e.patient()) }()
	arrives(e, release)
	e.Check(t.Close(), "close")
	_ = arrives(e, first)
	e.nothingLeft(1<<20, t, h.Hooks)
}

func afterShutdown(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(nil)
	h := NewHooks()
	s, _ := e.PairOn(t, h, session.StreamOptions{})
	l := e.listenPlain("tcp", "127.0.0.1:0")
	e.Check(t.Close(), "close")
	path := filepath.Join(e.TempDir(), "s")
	_, listenErr := t.Listen("unix", path, h, nil)
	if _, err := os.Lstat(path); err == nil {
		e.Error("a Listen that failed left its file")
	}
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
		if !errors.Is(err, net.ErrClosed) {
			e.Errorf("%s after the end: %v", what, err)
		}
	}
	if _, err := t.Poll(0); err == nil {
		e.Error("Poll of a Transport that has ended, and was not driven by its caller, returned no error")
	}
	if n := h.Count("OnClose"); n != 1 {
		e.Errorf("OnClose was called %d times", n)
	}
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
		if err := late.Closed(); !errors.Is(err, net.ErrClosed) {
			e.Errorf("OnClose(%v)", err)
		}
	}
	if late.Count("OnOpen") != 0 {
		e.Error("OnOpen during a shutdown")
	}
	select {
	case err := <-result:
		e.Errorf("Shutdown returned %v while a stream was open", err)
	case <-time.After(moment):
	}
	_, err := p.Write([]byte("alive"))
	e.Check(err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
	e.Check(s.Close(), "close")
	e.Check(arrives(e, result), "shutdown")
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
	if err := t.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("shutdown: %v", err)
	}
	e.nothingLeft(1<<20, t, h)
	gone.Store(true)
	wg.Wait()
}

// mappings opens and closes Transports, whose queues and buffers are mapped memory.
func mappings(e *Env) {
	if !e.once() {
		return
	}
	const times = 30
	cycle := func() {
		t := e.Open(func(o *Options) { o.Loops = 4 })
		s, p := e.PairOn(t, NewHooks(), session.StreamOptions{})
		_, err := p.Write([]byte("x"))
		e.Check(err, "write")
		e.Check(s.Close(), "close")
		e.Check(t.Shutdown(e.patient()), "shutdown")
		e.Check(p.Close(), "close")
	}
	cycle()
	files := len(takeCensus().files)
	rings, kilobytes := e.mapped()
	for range times {
		cycle()
		if n := len(takeCensus().files); n > files {
			e.Fatalf("%d descriptors are left", n-files)
		}
	}
	nowRings, nowKilobytes := e.mapped()
	if nowRings > rings {
		e.Errorf("%d mappings of rings are left", nowRings-rings)
	}
	// The receive buffers of one cycle are 8 MiB, if they have their default size. The Go heap grows, too.
	if grown := nowKilobytes - kilobytes; grown > times*8<<10/2 {
		e.Errorf("the process has grown by %d KiB in %d cycles", grown, times)
	}
}

// mapped counts the mappings of rings, and the size of the address space in KiB: proc(5).
func (e *Env) mapped() (rings, kilobytes int) {
	e.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	e.Check(err, "read the mappings")
	statm, err := os.ReadFile("/proc/self/statm")
	e.Check(err, "read the size")
	pages, err := strconv.Atoi(strings.Fields(string(statm))[0])
	e.Check(err, "read the size")
	return strings.Count(string(maps), "io_uring"), pages * os.Getpagesize() >> 10
}
