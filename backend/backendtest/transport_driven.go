package backendtest

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// driven opens a Transport without goroutines.
func (e *Env) driven(o session.StreamOptions) *session.Engine {
	e.Helper()
	return e.Open(func(all *Options) { all.CallerDriven, all.Loops, all.Stream = true, 1, o })
}

// poll polls Transports in turn until done.
func (e *Env) poll(done func() bool, what string, ts ...*session.Engine) {
	e.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			e.Fatalf("never: %s", what)
		}
		for _, t := range ts {
			_, err := t.Poll(100 * time.Microsecond)
			e.Check(err, "poll")
		}
	}
}

// tail is one end of a socketpair whose other end a stream has. What is sent is there at once.
type tail struct {
	e   *Env
	raw syscall.RawConn
}

// adoptPair gives a Transport one end of a socketpair.
func (e *Env) adoptPair(t *session.Engine, h *Hooks) (*session.Stream, tail) {
	e.Helper()
	h.env(e)
	a, b, err := socketPair()
	e.Check(err, "socketpair")
	e.Cleanup(func() { _ = b.Close() })
	s, err := t.Adopt(a, h)
	e.Check(err, "adopt")
	raw, err := b.SyscallConn()
	e.Check(err, "raw")
	e.poll(func() bool { return len(h.opened) > 0 }, "OnOpen", t)
	h.Opened()
	return s, tail{e, raw}
}

// send sends what the kernel takes at once.
func (p tail) send(b []byte) (n int) {
	p.e.Helper()
	var err error
	p.e.Check(p.raw.Control(func(fd uintptr) { n, err = backend.Send(int(fd), b) }), "control")
	if err != nil && err != syscall.EAGAIN {
		p.e.Fatalf("send: %v", err)
	}
	return n
}

// fill sends until the kernel takes no more.
func (p tail) fill(b []byte) {
	for p.send(b) > 0 {
	}
}

// fairness counts how often a stream that always has data is called before another that has some, too: for the reads
// of one turn, and once for what was received behind them, when there was no buffer left for the other.
func fairness(e *Env) {
	if !e.once() {
		return
	}
	e.flood(session.StreamOptions{}, 16+1)
}

// fairnessOfBytes has a budget that is used up by the first read.
func fairnessOfBytes(e *Env) {
	if !e.once() {
		return
	}
	e.flood(session.StreamOptions{TurnBudget: 1}, e.Turns)
}

// flood fails if the greedy stream is called more than most times between another's byte and its call.
func (e *Env) flood(o session.StreamOptions, most int) {
	e.Helper()
	t := e.Open(func(all *Options) {
		all.CallerDriven, all.Loops, all.Stream = true, 1, o
		all.BufferSize = 1 << 10 // many events for what a socket holds
	})
	calls, bytes, heard := 0, 0, false
	greedy := NewHooks()
	greedy.Data = func(s *session.Stream) {
		calls++
		bytes += s.Buffered()
		_, _ = s.Next(-1)
	}
	modest := NewHooks()
	worst, total := 0, 0
	modest.Data = func(s *session.Stream) {
		_, _ = s.Next(-1)
		heard = true
		worst = max(worst, calls)
	}
	_, flood := e.adoptPair(t, greedy)
	_, drop := e.adoptPair(t, modest)
	piece := Pattern(16 << 10)
	for range 20 {
		flood.fill(piece)
		calls, bytes, heard = 0, 0, false
		drop.send([]byte{1})
		for turns := 0; !heard; turns++ {
			if turns > 1000 {
				e.Fatal("the other stream is never called")
			}
			flood.fill(piece)
			_, err := t.Poll(0)
			e.Check(err, "poll")
		}
		total += bytes
	}
	if worst > most {
		e.Errorf("a greedy stream was called %d times before another, not at most %d", worst, most)
	}
	if total == 0 {
		e.Error("the greedy stream got nothing, so nothing was tested")
	}
}

// inside checks that callbacks run inside Poll. It is not guarded, so that the race detector finds any that runs on
// another goroutine.
type inside struct {
	e    *Env
	poll bool
}

func (i *inside) hooks(h *Hooks) *Hooks {
	check := func() {
		if !i.poll {
			i.e.Error("a callback outside of Poll")
		}
	}
	data := h.Data
	h.Open = func(*session.Stream) { check() }
	h.Data = func(s *session.Stream) {
		check()
		if data != nil {
			data(s)
			return
		}
		h.Collect(s)
	}
	h.EOF = func(*session.Stream) { check() }
	h.Close = func(*session.Stream, error) { check() }
	h.env(i.e)
	return h
}

// callerDriven has a server and a client in one goroutine, which is the only one there is.
func callerDriven(e *Env) {
	if e.Dialled || e.Peers != nil {
		return // there is one of each kind in any case
	}
	before := runtime.NumGoroutine()
	server, client := e.driven(session.StreamOptions{}), e.driven(session.StreamOptions{})
	i := &inside{e: e}
	poll := func(done func() bool, what string) {
		e.Helper()
		i.poll = true
		e.poll(done, what, server, client)
		i.poll = false
	}
	srv, cli := i.hooks(echo()), i.hooks(NewHooks())
	l, err := server.Listen(e.Network, e.Address(), srv, nil)
	e.Check(err, "listen")
	const streams, size = 5, 60_000
	var all []*session.Stream
	for range streams {
		s, err := client.Connect(e.Network, l.Addr().String(), cli, nil)
		e.Check(err, "connect")
		_, err = s.Write(Pattern(size))
		e.Check(err, "write")
		all = append(all, s)
	}
	poll(func() bool { return cli.Len() == streams*size }, "all answers")
	if !waitFor(func() bool { return runtime.NumGoroutine() <= before }) {
		e.Errorf("%d goroutines more than before", runtime.NumGoroutine()-before)
	}
	for _, s := range all {
		e.Check(s.CloseWrite(), "CloseWrite")
	}
	poll(func() bool { return len(cli.closed) == streams && len(srv.closed) == streams }, "OnClose")
	e.Check(l.Close(), "close the listener")
	poll(func() bool { return server.Stats().Sockets == 0 }, "the end of the listener")
	again, err := net.Listen(e.Network, l.Addr().String())
	e.Check(err, "the address is not free")
	_ = again.Close()
	i.poll = true // Shutdown polls, too
}

// drivenPeers talks with plain connections, each of which is used in turn with Poll.
func drivenPeers(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t := e.driven(session.StreamOptions{})
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	e.Check(err, "listen")
	p := e.dialPlain(l.Addr()) // the kernel completes it
	_, err = p.Write([]byte("ping"))
	e.Check(err, "write")
	e.poll(func() bool { return t.Stats().BytesOut == 4 }, "the answer", t)
	if got := string(e.ReadAll(p, 4)); got != "ping" {
		e.Errorf("%q came back", got)
	}
	e.Check(p.Reset(), "reset")
	e.poll(func() bool { return len(h.closed) == 1 }, "OnClose", t)
	if err := h.Closed(); e.Network == "tcp" && !errors.Is(err, syscall.ECONNRESET) {
		e.Errorf("OnClose(%v)", err)
	}
}

// drivenByOne polls where it is not allowed.
func drivenByOne(e *Env) {
	if !e.once() {
		return
	}
	if _, err := e.Under().Poll(0); err == nil {
		e.Error("Poll of a Transport that runs by itself returned no error")
	}
	t := e.driven(session.StreamOptions{})
	l, err := t.Listen("tcp", "127.0.0.1:0", echo(), nil)
	e.Check(err, "listen")
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }() // before the first Poll
	select {
	case err := <-closed:
		e.Check(err, "close")
	case <-time.After(moment): // it may wait for Poll
	}
	nested := error(nil)
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		_, nested = t.Poll(0)
		if err := t.Shutdown(ended()); err == nil {
			e.Error("Shutdown in a callback returned no error")
		}
	}
	s, p := e.adoptPair(t, h)
	p.send([]byte("x"))
	e.poll(func() bool { return h.Len() == 1 }, "the byte", t)
	if nested == nil {
		e.Error("Poll in a callback returned no error")
	}
	elsewhere := make(chan error, 3)
	go func() {
		_, err := t.Poll(0)
		elsewhere <- err
		_, err = t.Dial(e.patient(), "tcp", "127.0.0.1:1", NewHooks(), nil)
		elsewhere <- err
	}()
	for range 2 {
		require.Error(e, arrives(e, elsewhere), "Poll or Dial on another goroutine")
	}
	if _, err := t.Dial(e.patient(), "tcp", "127.0.0.1:1", NewHooks(), nil); err == nil {
		e.Error("Dial on the goroutine that has to poll returned no error")
	}
	p.send([]byte("y"))
	e.poll(func() bool { return h.Len() == 2 }, "the second byte", t)
	e.Check(s.Close(), "close")
	e.poll(func() bool { return len(h.closed) == 1 }, "OnClose", t)
	go func() { elsewhere <- t.Close() }() // nobody polls any longer
	require.NoError(e, arrives(e, elsewhere), "Close on another goroutine")
	_, err = t.Poll(0)
	require.ErrorIs(e, err, net.ErrClosed)
}

// drivenSleep polls with and without patience.
func drivenSleep(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	h := NewHooks()
	s, p := e.adoptPair(t, h)
	for n := 1; n > 0; { // what was left to do
		var err error
		n, err = t.Poll(0)
		e.Check(err, "poll")
	}
	n, err := t.Poll(2 * time.Millisecond)
	e.Check(err, "poll")
	if n != 0 {
		e.Errorf("%d events of nothing", n)
	}
	p.send([]byte("x"))
	if n, err = t.Poll(-1); n == 0 || err != nil {
		e.Errorf("Poll with a byte waiting returned %d, %v", n, err)
	}
	e.poll(func() bool { return h.Len() == 1 }, "the byte", t)

	ran, fired := false, false
	go func() {
		time.Sleep(time.Millisecond)
		_ = s.Post(func() { ran = true })
	}()
	for !ran {
		_, err := t.Poll(-1) // which the post wakes
		e.Check(err, "poll")
	}
	began := time.Now()
	s.After(3*time.Millisecond, func() { fired = true })
	for !fired {
		_, err := t.Poll(-1) // which the timer ends
		e.Check(err, "poll")
	}
	if d := time.Since(began); d < 3*time.Millisecond {
		e.Errorf("a timer of 3 ms fired after %v", d)
	}
}

// drivenEnd shuts down on the goroutine that polls.
func drivenEnd(e *Env) {
	if !e.once() {
		return
	}
	never := e.driven(session.StreamOptions{}) // was never polled
	e.Check(never.Shutdown(e.patient()), "shutdown")
	e.Check(never.Close(), "close again")

	t := e.driven(session.StreamOptions{CloseTimeout: 10 * time.Millisecond})
	h, stuck, dials := NewHooks(), NewHooks(), NewHooks()
	e.adoptPair(t, h)
	s, _ := e.adoptPair(t, stuck)
	_, err := s.Write(make([]byte, 4<<20))
	e.Check(err, "write")
	dials.env(e)
	_, err = t.Connect("tcp", e.unreachable(), dials, nil)
	e.Check(err, "connect")
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	e.Check(err, "listen")
	e.Check(t.Shutdown(e.patient()), "shutdown")
	e.nothingLeft(1<<20, t, h, stuck, dials)
	again, err := net.Listen("tcp", l.Addr().String())
	e.Check(err, "the address is not free")
	_ = again.Close()
	if err := stuck.Closed(); !errors.Is(err, os.ErrDeadlineExceeded) {
		e.Errorf("OnClose(%v)", err)
	}
	for range 2 {
		if _, err := t.Poll(0); !errors.Is(err, net.ErrClosed) {
			e.Errorf("Poll after the end: %v", err)
		}
		e.Check(t.Shutdown(e.patient()), "shutdown again")
		e.Check(t.Close(), "close")
	}

	left := e.driven(session.StreamOptions{})
	d := drainHooks{NewHooks(), func(*session.Stream) {}}
	d.Open = func(s *session.Stream) { s.SetHandler(d) }
	e.adoptPair(left, d.Hooks)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := left.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("Shutdown returned %v", err)
	}
	e.nothingLeft(1<<20, left, d.Hooks)
}
