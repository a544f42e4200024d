package backendtest

import (
	"context"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
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
		require.False(e, time.Now().After(deadline), "never: %s", what)
		for _, t := range ts {
			_, err := t.Poll(100 * time.Microsecond)
			require.NoError(e, err, "poll")
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
	require.NoError(e, err, "socketpair")
	e.Cleanup(func() { _ = b.Close() })
	s, err := t.Adopt(a, h)
	require.NoError(e, err, "adopt")
	raw, err := b.SyscallConn()
	require.NoError(e, err, "raw")
	e.poll(func() bool { return len(h.opened) > 0 }, "OnOpen", t)
	h.Opened()
	return s, tail{e, raw}
}

// send sends what the kernel takes at once.
func (p tail) send(b []byte) (n int) {
	p.e.Helper()
	var err error
	require.NoError(p.e, p.raw.Control(func(fd uintptr) { n, err = backend.Send(int(fd), b) }), "control")
	if err != nil {
		require.Equal(p.e, syscall.EAGAIN, err, "send")
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
			require.LessOrEqual(e, turns, 1000, "the other stream is never called")
			flood.fill(piece)
			_, err := t.Poll(0)
			require.NoError(e, err, "poll")
		}
		total += bytes
	}
	assert.LessOrEqual(e, worst, most, "calls of a greedy stream before another")
	assert.NotZero(e, total, "the greedy stream got nothing, so nothing was tested")
}

// inside checks that callbacks run inside Poll. It is not guarded, so that the race detector finds any that runs on
// another goroutine.
type inside struct {
	e    *Env
	poll bool
}

func (i *inside) hooks(h *Hooks) *Hooks {
	check := func() {
		assert.True(i.e, i.poll, "a callback outside of Poll")
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
	require.NoError(e, err, "listen")
	const streams, size = 5, 60_000
	var all []*session.Stream
	for range streams {
		s, err := client.Connect(e.Network, l.Addr().String(), cli, nil)
		require.NoError(e, err, "connect")
		_, err = s.Write(Pattern(size))
		require.NoError(e, err, "write")
		all = append(all, s)
	}
	poll(func() bool { return cli.Len() == streams*size }, "all answers")
	assert.True(e, e.Goroutines || waitFor(func() bool { return runtime.NumGoroutine() <= before }), "%d goroutines more than before", runtime.NumGoroutine()-before)
	for _, s := range all {
		require.NoError(e, s.CloseWrite(), "CloseWrite")
	}
	poll(func() bool { return len(cli.closed) == streams && len(srv.closed) == streams }, "OnClose")
	require.NoError(e, l.Close(), "close the listener")
	poll(func() bool { return server.Stats().Sockets == 0 }, "the end of the listener")
	again, err := net.Listen(e.Network, l.Addr().String())
	require.NoError(e, err, "the address is not free")
	_ = again.Close()
	i.poll = true // Shutdown polls, too
}

// drivenEcho is a Transport that is polled, and has answered a plain connection to its listener.
func (e *Env) drivenEcho() (t *session.Engine, h *Hooks, l session.Listener, p Peer) {
	t = e.driven(session.StreamOptions{})
	h = echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err, "listen")
	p = e.dialPlain(l.Addr()) // the kernel completes it
	_, err = p.Write([]byte("ping"))
	require.NoError(e, err, "write")
	e.poll(func() bool { return t.Stats().BytesOut == 4 }, "the answer", t)
	assert.Equal(e, "ping", string(e.ReadAll(p, 4)), "the answer")
	return t, h, l, p
}

// drivenPeers talks with plain connections, each of which is used in turn with Poll.
func drivenPeers(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t, h, _, p := e.drivenEcho()
	require.NoError(e, p.Reset(), "reset")
	e.poll(func() bool { return len(h.closed) == 1 }, "OnClose", t)
	if err := h.Closed(); e.Network == "tcp" {
		assert.ErrorIs(e, err, syscall.ECONNRESET, "the error of OnClose")
	}
}

// drivenByOne polls where it is not allowed.
func drivenByOne(e *Env) {
	if !e.once() {
		return
	}
	_, err := e.Under().Poll(0)
	assert.Error(e, err, "Poll of a Transport that runs by itself returned no error")
	t := e.driven(session.StreamOptions{})
	l, err := t.Listen("tcp", "127.0.0.1:0", echo(), nil)
	require.NoError(e, err, "listen")
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }() // before the first Poll
	select {
	case err := <-closed:
		require.NoError(e, err, "close")
	case <-time.After(moment): // it may wait for Poll
	}
	nested := error(nil)
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		_, nested = t.Poll(0)
		assert.Error(e, t.Shutdown(ended()), "Shutdown in a callback returned no error")
	}
	s, p := e.adoptPair(t, h)
	p.send([]byte("x"))
	e.poll(func() bool { return h.Len() == 1 }, "the byte", t)
	assert.Error(e, nested, "Poll in a callback returned no error")
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
	_, err = t.Dial(e.patient(), "tcp", "127.0.0.1:1", NewHooks(), nil)
	assert.Error(e, err, "Dial on the goroutine that has to poll returned no error")
	p.send([]byte("y"))
	e.poll(func() bool { return h.Len() == 2 }, "the second byte", t)
	require.NoError(e, s.Close(), "close")
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
		require.NoError(e, err, "poll")
	}
	n, err := t.Poll(2 * time.Millisecond)
	require.NoError(e, err, "poll")
	assert.Zero(e, n, "events")
	p.send([]byte("x"))
	n, err = t.Poll(-1)
	assert.NotZero(e, n, "events of a Poll with a byte waiting")
	assert.NoError(e, err, "Poll with a byte waiting")
	e.poll(func() bool { return h.Len() == 1 }, "the byte", t)

	ran, fired := false, false
	go func() {
		time.Sleep(time.Millisecond)
		_ = s.Post(func() { ran = true })
	}()
	for !ran {
		_, err := t.Poll(-1) // which the post wakes
		require.NoError(e, err, "poll")
	}
	began := time.Now()
	s.After(3*time.Millisecond, func() { fired = true })
	for !fired {
		_, err := t.Poll(-1) // which the timer ends
		require.NoError(e, err, "poll")
	}
	assert.GreaterOrEqual(e, time.Since(began), 3*time.Millisecond, "the time after which a timer of 3 ms fired")
}

// drivenEnd shuts down on the goroutine that polls.
func drivenEnd(e *Env) {
	if !e.once() {
		return
	}
	never := e.driven(session.StreamOptions{}) // was never polled
	require.NoError(e, never.Shutdown(e.patient()), "shutdown")
	require.NoError(e, never.Close(), "close again")

	t := e.driven(session.StreamOptions{CloseTimeout: 10 * time.Millisecond})
	h, stuck, dials := NewHooks(), NewHooks(), NewHooks()
	e.adoptPair(t, h)
	s, _ := e.adoptPair(t, stuck)
	_, err := s.Write(make([]byte, 4<<20))
	require.NoError(e, err, "write")
	dials.env(e)
	_, err = t.Connect("tcp", e.unreachable(), dials, nil)
	require.NoError(e, err, "connect")
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(e, err, "listen")
	require.NoError(e, t.Shutdown(e.patient()), "shutdown")
	e.nothingLeft(1<<20, t, h, stuck, dials)
	again, err := net.Listen("tcp", l.Addr().String())
	require.NoError(e, err, "the address is not free")
	_ = again.Close()
	err = stuck.Closed()
	assert.ErrorIs(e, err, os.ErrDeadlineExceeded, "the error of OnClose")
	for range 2 {
		_, err := t.Poll(0)
		assert.ErrorIs(e, err, net.ErrClosed, "Poll after the end")
		require.NoError(e, t.Shutdown(e.patient()), "shutdown again")
		require.NoError(e, t.Close(), "close")
	}

	left := e.driven(session.StreamOptions{})
	d := drainHooks{NewHooks(), func(*session.Stream) {}}
	d.Open = func(s *session.Stream) { s.SetHandler(d) }
	e.adoptPair(left, d.Hooks)
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	assert.ErrorIs(e, left.Shutdown(ctx), context.DeadlineExceeded, "Shutdown returned")
	e.nothingLeft(1<<20, left, d.Hooks)
}
