package backendtest

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// The rules on loops that die because a callback has ended their goroutine. Those on drivers that fail are in
// death_linux.go.
var deathRules = append([]Rule{
	{"S38_GoexitInEachCallback", goexitInEachCallback},
	{"S38_GoexitInDrain", goexitInDrain},
	{"S38_GoexitInTheEnd", goexitInTheEnd},
	{"S38_WhatIsPromised", promisedByADeadLoop},
	{"S38_WaitingCalls", waitingForADeadLoop},
	{"S38_DetachAndGoexit", detachAndGoexit},
	{"S38_CallerDriven", goexitInPoll},
	{"S38_BeginningsMeanwhile", beginningsOnADyingLoop},
}, deathRulesLinux...)

// exiting are Hooks that end the loop's goroutine in one kind of callback.
func exiting(where string) *Hooks {
	h := NewHooks()
	exit := func(name string) {
		if name == where {
			runtime.Goexit()
		}
	}
	h.Open = func(*session.Stream) { exit("OnOpen") }
	h.EOF = func(*session.Stream) { exit("OnEOF") }
	h.Writable = func(*session.Stream) { exit("OnWritable") }
	h.Close = func(_ *session.Stream, err error) {
		if where == "OnClose" {
			h.closed <- err // before the end, behind which nothing runs
			runtime.Goexit()
		}
	}
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		exit("OnData")
		switch where {
		case "OnWritable":
			_, _ = s.Write(make([]byte, 2000)) // goes out at the end of the turn, whole
		case "WriteNotify":
			_ = s.WriteNotify([]byte("x"), func(error) { exit("WriteNotify") })
		case "After":
			s.After(0, func() { exit("After") })
		case "Every":
			s.Every(time.Microsecond, func() { exit("Every") })
		case "Post":
			_ = s.Post(func() { exit("Post") })
		}
	}
	return h
}

// twoLoops is a Transport with a stream on each of its loops, of which the first is to die.
type twoLoops struct {
	t             *session.Engine
	log           *sessiontest.Log
	beside, other *Hooks
	s, s2         *session.Stream
	p, p2         Peer
}

func (e *Env) twoLoops() *twoLoops {
	e.Helper()
	w := &twoLoops{beside: echo(), other: echo()}
	w.t, w.log = e.openLogging(func(o *Options) { o.Loops = 2 })
	scouts := echo()
	scouts.env(e)
	l, err := w.t.Listen(e.Network, e.Address(), scouts, nil)
	require.NoError(e, err)
	w.p = e.connectBeside(w.t, scouts.openedOn(e, l, 0), w.beside, session.StreamOptions{})
	w.p2 = e.connectBeside(w.t, scouts.openedOn(e, l, 1), w.other, session.StreamOptions{})
	w.s, w.s2 = w.beside.Opened(), w.other.Opened()
	require.NoError(e, l.Close())
	return w
}

// connectBeside makes a stream of h on the loop of another one.
func (e *Env) connectBeside(t *session.Engine, s *session.Stream, h session.Handler, o session.StreamOptions) Peer {
	e.Helper()
	if h, ok := h.(*Hooks); ok {
		h.env(e)
	}
	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err)
	defer l.Close()
	_, err = t.Connect(e.Network, l.Addr().String(), h, &session.DialOptions{StreamOptions: o, SameLoop: s})
	require.NoError(e, err)
	c, err := l.Accept()
	require.NoError(e, err)
	return e.plain(c)
}

// died checks that the first loop is dead, and that everybody knows, and that the second one lives.
func (w *twoLoops) died(e *Env, where string) {
	e.Helper()
	err := w.beside.Closed()
	assert.ErrorIs(e, err, backend.ErrGoexit, "%s: OnClose of a stream beside it", where)
	_, err = readOn(w.p).all(e)
	assert.True(e, e.isReset(err), "%s: its peer sees %v", where, err)
	e.Eventually(func() bool { return strings.Contains(w.log.String(), "level=ERROR") }, "%s: a message", where)
	assert.Contains(e, w.log.String(), where, "what was logged")
	assert.NoError(e, w.t.Err(), "%s: of a Transport with a loop left", where)
	for range 3 {
		e.pingPong(w.p2)
		s, p := e.PairOn(w.t, w.other, session.StreamOptions{})
		assert.Equal(e, w.s2.Loop(), s.Loop(), "%s: the loop of a new stream", where)
		e.pingPong(p)
	}
	e.within("Close of the Transport", func() { assert.NoError(e, w.t.Close(), where) })
	assert.ErrorIs(e, w.t.Err(), net.ErrClosed)
}

// goexitInEachCallback ends one of two loops.
func goexitInEachCallback(e *Env) {
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "OnClose", "WriteNotify", "After", "Every", "Post"} {
		w, h := e.twoLoops(), exiting(where)
		h.env(e)
		p := e.connectBeside(w.t, w.s, h, session.StreamOptions{HighWater: 1000, LowWater: 500})
		_, _ = p.Write([]byte("go"))
		if where == "OnEOF" || where == "OnClose" {
			_ = p.CloseWrite()
		}
		if err := h.Closed(); where != "OnClose" {
			assert.ErrorIs(e, err, backend.ErrGoexit, "%s: OnClose", where)
		}
		w.died(e, where)
	}
	w := e.twoLoops() // a message
	closed := make(chan error, 1)
	f := session.Frames(frame.Line{}, func(*session.Stream, []byte) { runtime.Goexit() })
	f.Close = func(_ *session.Stream, err error) { closed <- err }
	_, _ = e.connectBeside(w.t, w.s, f, session.StreamOptions{}).Write([]byte("go\n"))
	assert.ErrorIs(e, arrives(e, closed), backend.ErrGoexit, "OnClose of a stream of messages")
	w.died(e, "OnData")
}

// goexitInDrain ends loops while the Transport shuts down.
func goexitInDrain(e *Env) {
	t, log := e.openLogging(nil)
	h := drainHooks{NewHooks(), func(*session.Stream) { runtime.Goexit() }}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	for range 5 {
		e.PairOn(t, h.Hooks, session.StreamOptions{})
	}
	e.within("Shutdown", func() { _ = t.Shutdown(e.patient()) })
	for range 5 {
		assert.ErrorIs(e, h.Closed(), backend.ErrGoexit)
	}
	e.logged(log, "OnDrain")
	assert.Error(e, t.Err())
}

// goexitInTheEnd ends the goroutine once more in whatever is called because a loop has ended. All is called all the
// same, once.
func goexitInTheEnd(e *Env) {
	for _, where := range []string{"OnClose", "WriteNotify", "Post"} {
		w := e.twoLoops()
		h := NewHooks()
		h.env(e)
		exit := func(name string) {
			if name == where {
				runtime.Goexit()
			}
		}
		h.Close = func(_ *session.Stream, err error) {
			if where == "OnClose" {
				h.closed <- err
				runtime.Goexit()
			}
		}
		const n, each = 3, 3
		var told, ran atomic.Int32
		var all []*session.Stream
		for range n {
			e.connectBeside(w.t, w.s, h, session.StreamOptions{})
			s := h.Opened()
			e.fillQueue(s)
			for range each {
				require.NoError(e, s.WriteNotify([]byte("x"), func(error) { told.Add(1); exit("WriteNotify") }))
			}
			all = append(all, s)
		}
		in, hold := make(chan struct{}), make(chan struct{})
		require.NoError(e, w.s.Post(func() { close(in); await(hold); runtime.Goexit() }))
		require.True(e, await(in))
		for _, s := range all {
			for range each {
				require.NoError(e, s.Post(func() { ran.Add(1); exit("Post") }))
			}
		}
		close(hold)
		for range n {
			assert.ErrorIs(e, h.Closed(), backend.ErrGoexit, where)
		}
		assert.EqualValues(e, n*each, told.Load(), "%s: notifications", where)
		assert.EqualValues(e, n*each, ran.Load(), "%s: posted functions", where)
		w.died(e, "Post")
	}
}

// promisedByADeadLoop ends the goroutine in each of several functions that are due together, while the loop lives.
func promisedByADeadLoop(e *Env) {
	for what, promise := range map[string]func(*session.Stream, func()){
		"WriteNotify": func(s *session.Stream, fn func()) { _ = s.WriteNotify([]byte("x"), func(error) { fn() }) },
		"Post":        func(s *session.Stream, fn func()) { _ = s.Post(fn) },
		"at the end": func(s *session.Stream, fn func()) {
			_ = s.WriteNotify([]byte("x"), func(error) { fn() })
			_ = s.Abort()
		},
	} {
		e.Scenario(what, func() {
			w, h := e.twoLoops(), NewHooks()
			h.env(e)
			var ran atomic.Int32
			h.Data = func(s *session.Stream) {
				h.Collect(s)
				for range 3 {
					promise(s, func() { defer h.enter(s, what)(); ran.Add(1); runtime.Goexit() })
				}
			}
			p := e.connectBeside(w.t, w.s, h, session.StreamOptions{})
			_, err := p.Write([]byte("x"))
			require.NoError(e, err)
			if err := h.Closed(); what != "at the end" {
				assert.ErrorIs(e, err, backend.ErrGoexit, what)
			}
			want := int32(3)
			if what == "at the end" {
				want = 1 // the others were refused
			}
			assert.Equal(e, want, ran.Load(), "functions given to %s that have run", what)
			w.died(e, "")
		})
	}
}

// waitingForADeadLoop has calls wait for a loop that dies.
func waitingForADeadLoop(e *Env) {
	if !e.once() {
		return
	}
	t := e.oneLoop()
	h := NewHooks()
	s, _ := e.PairOn(t, h, session.StreamOptions{})
	l, err := t.Listen(e.Network, e.Address(), NewHooks(), nil)
	require.NoError(e, err)
	silent := e.unreachable()
	connected := NewHooks()
	connected.env(e)
	_, err = t.Connect("tcp", silent, connected, nil) // in flight
	require.NoError(e, err)
	dialled := make(chan error, 2)
	dial := func() {
		_, err := t.Dial(context.Background(), "tcp", silent, NewHooks(), nil)
		dialled <- err
	}
	go dial()
	time.Sleep(moment / 3)
	in, hold := make(chan struct{}), make(chan struct{})
	require.NoError(e, s.Post(func() { close(in); await(hold); runtime.Goexit() }))
	require.True(e, await(in))
	closed, shut := make(chan error, 1), make(chan error, 1)
	go dial() // not begun yet
	go func() { closed <- l.Close() }()
	_, err = t.Connect("tcp", l.Addr().String(), connected, nil)
	require.NoError(e, err)
	conn, err := s.Detach()
	require.NoError(e, err)
	read := make(chan error, 1)
	go func() { _, err := conn.Read(make([]byte, 1)); read <- err }()
	time.Sleep(moment / 3)
	go func() { shut <- t.Shutdown(context.Background()) }()
	time.Sleep(moment / 3)
	close(hold)
	for range 2 {
		err := arrives(e, dialled)
		assert.True(e, errors.Is(err, backend.ErrGoexit) || errors.Is(err, net.ErrClosed), "Dial: %v", err)
		err = connected.Closed()
		assert.True(e, errors.Is(err, backend.ErrGoexit) || errors.Is(err, net.ErrClosed), "the error of OnClose")
	}
	assert.NoError(e, arrives(e, closed), "Close of the listener")
	assert.Error(e, arrives(e, read), "Read of a connection that the loop has not handed over")
	assert.NoError(e, conn.Close())
	_ = arrives(e, shut)
	assert.ErrorIs(e, t.Err(), backend.ErrGoexit)
	_, err = t.Dial(context.Background(), "tcp", silent, NewHooks(), nil)
	assert.Error(e, err)
}

// detachAndGoexit takes a connection away and ends the loop before that can hand it over. What the Conn gives is not
// mistaken for all there was.
func detachAndGoexit(e *Env) {
	sent := Pattern(held)
	w, h := e.twoLoops(), NewHooks()
	h.env(e)
	conns := make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		_, _ = s.Write([]byte("queued"))
		c, err := s.Detach()
		assert.NoError(e, err)
		conns <- c
		runtime.Goexit()
	}
	h.Open = func(*session.Stream) { time.Sleep(moment / 3) } // so that more than one piece comes
	p := e.connectBeside(w.t, w.s, h, session.StreamOptions{})
	wrote := make(chan struct{})
	go func() { defer close(wrote); _, _ = p.Write(sent) }()
	defer await(wrote)
	c := arrives(e, conns)
	defer c.Close()
	_ = h.Closed()
	require.NoError(e, c.SetDeadline(time.Now().Add(patience)))
	var got []byte
	var err error
	for b := make([]byte, 64<<10); err == nil && len(got) < len(sent); {
		n := 0
		n, err = c.Read(b)
		got = append(got, b[:n]...)
	}
	if assert.LessOrEqual(e, len(got), len(sent)) {
		assert.True(e, slices.Equal(sent[:len(got)], got), "the %d bytes that were read are not the first that were sent", len(got))
	}
	if len(got) < len(sent) {
		assert.ErrorIs(e, err, backend.ErrGoexit, "behind %d bytes", len(got))
		_, err = c.Write([]byte("x"))
		assert.Error(e, err)
	}
	w.died(e, "OnData")
}

// goexitInPoll ends the goroutine that polls.
func goexitInPoll(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	h, other := exiting("OnData"), NewHooks()
	h.env(e)
	other.env(e)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := t.Poll(time.Millisecond); err != nil {
				return
			}
		}
	}()
	var peers []Peer
	l := e.listenPlain("tcp", "127.0.0.1:0")
	for _, h := range []*Hooks{other, h} {
		_, err := t.Connect("tcp", l.Addr().String(), h, nil)
		require.NoError(e, err)
		h.Opened()
		c, err := l.Accept()
		require.NoError(e, err)
		peers = append(peers, e.plain(c))
	}
	_, err := peers[1].Write([]byte("x"))
	require.NoError(e, err)
	require.True(e, await(ended), "the end of the goroutine that polls")
	assert.ErrorIs(e, h.Closed(), backend.ErrGoexit)
	assert.ErrorIs(e, other.Closed(), backend.ErrGoexit)
	require.True(e, await(t.Done()))
	assert.ErrorIs(e, t.Err(), backend.ErrGoexit)
	_, err = t.Poll(0)
	assert.Error(e, err)
	_, err = t.Connect("tcp", l.Addr().String(), NewHooks(), nil)
	assert.Error(e, err)
}
