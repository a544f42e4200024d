package backendtest

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on panics and on time.
var timeRules = []Rule{
	{"S21_Panic", panics},
	{"S22_Idle", idle},
	{"S22_IdleTraffic", idleTraffic},
	{"S22_IdleStall", idleStall},
	{"S23_Timers", timers},
	{"S23_TimersEndWithTheStream", timersEnd},
	{"S23_ManyTimers", manyTimers},
}

// panics lets every kind of callback panic, each in a stream of its own, beside a stream that must not notice.
func panics(e *Env) {
	other := NewHooks()
	_, q := e.Pair(other, session.StreamOptions{})
	boom := errors.New("boom")
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "WriteNotify", "After", "Post", "OnClose"} {
		h := panicking(where, boom)
		if where == "OnOpen" && !e.Dialled {
			e.connectAnyhow(h) // the reset may come before the peer has seen that it is connected
		} else {
			_, p := e.Pair(h, session.StreamOptions{HighWater: 1000, LowWater: 500})
			_, _ = p.Write([]byte("go"))
			if where == "OnEOF" || where == "OnClose" {
				_ = p.CloseWrite()
			}
		}
		err := h.Closed()
		var pe *session.PanicError
		if where == "OnClose" {
			assert.NoError(e, err, "%s: the error of OnClose", where)
		} else if assert.ErrorAs(e, err, &pe, "%s: the error of OnClose", where) {
			assert.ErrorIs(e, err, boom, "%s: the value", where)
			assert.NotEmpty(e, pe.Stack, "%s: the stack", where)
		}
	}
	_, err := q.Write([]byte("still here"))
	require.NoError(e, err, "write to the other stream")
	e.Eventually(func() bool { return other.Len() == 10 }, "bytes of the other stream")
	e.Eventually(func() bool { return e.Under().Stats().Panics == 8 }, "8 panics counted, not %d", e.Under().Stats().Panics)
}

// connectAnyhow connects to streams of h, which may reset the connection at once.
func (e *Env) connectAnyhow(h *Hooks) {
	h.env(e)
	l, err := e.Under().Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err, "listen")
	e.Cleanup(func() { _ = l.Close() })
	if c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), patience); err == nil {
		e.Cleanup(func() { _ = c.Close() })
	}
}

func panicking(where string, v error) *Hooks {
	h := NewHooks()
	boom := func(name string) {
		if name == where {
			panic(v)
		}
	}
	h.Open = func(*session.Stream) { boom("OnOpen") }
	h.EOF = func(*session.Stream) { boom("OnEOF") }
	h.Writable = func(*session.Stream) { boom("OnWritable") }
	h.Close = func(_ *session.Stream, err error) {
		h.closed <- err // before the panic, which is logged and goes no further
		boom("OnClose")
	}
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		boom("OnData")
		switch where {
		case "OnWritable":
			_, _ = s.Write(make([]byte, 2000)) // goes out at the end of the turn, whole
		case "WriteNotify":
			_ = s.WriteNotify([]byte("x"), func(error) { boom("WriteNotify") })
		case "After":
			s.After(0, func() { boom("After") })
		case "Post":
			_ = s.Post(func() { boom("Post") })
		}
	}
	return h
}

// idle leaves streams alone for IdleTimeout. They end then, and not before; a timeout of zero ends none.
func idle(e *Env) {
	h := NewHooks()
	const timeout = 50 * time.Millisecond
	start := time.Now()
	e.Pair(h, session.StreamOptions{IdleTimeout: timeout})
	err := h.Closed()
	require.ErrorIs(e, err, os.ErrDeadlineExceeded, "the error of OnClose")
	d := time.Since(start)
	assert.GreaterOrEqual(e, d, timeout, "the time after which it ended")
	h = NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	s.SetIdleTimeout(time.Hour)
	s.SetIdleTimeout(timeout)
	err = h.Closed()
	require.ErrorIs(e, err, os.ErrDeadlineExceeded, "the error of OnClose")
	h = NewHooks()
	h.Open = func(s *session.Stream) { s.SetIdleTimeout(0) } // later it may be too late
	e.Pair(h, session.StreamOptions{IdleTimeout: timeout})
	time.Sleep(2 * timeout)
	h.StillOpen()
}

// idleTraffic keeps streams busy in one way each. How long the machine holds a process up is not in the test's hands,
// so what counts is the silence that the stream saw, not that it is still open.
func idleTraffic(e *Env) {
	const timeout = 80 * time.Millisecond
	const most = 20
	var sent [most]atomic.Int64 // when the peer began to send each byte
	ways := map[string]func(*session.Stream, Peer, int, func(time.Time)){
		"bytes in": func(_ *session.Stream, p Peer, n int, _ func(time.Time)) {
			sent[n].Store(time.Now().UnixNano())
			_, _ = p.Write([]byte{byte(n)})
		},
		"bytes out by another goroutine": func(s *session.Stream, _ Peer, _ int, took func(time.Time)) {
			if now := time.Now(); wrote(s) {
				took(now)
			}
		},
		"bytes out by the loop": func(s *session.Stream, _ Peer, _ int, took func(time.Time)) {
			_ = s.Post(func() {
				if now := time.Now(); wrote(s) {
					took(now)
				}
			})
		},
	}
	for name, act := range ways {
		h := NewHooks()
		var last, ended atomic.Int64
		took := func(at time.Time) { last.Store(at.UnixNano()) }
		h.Data = func(s *session.Stream) {
			b, _ := s.Next(-1)
			last.Store(sent[b[len(b)-1]].Load())
		}
		h.Close = func(*session.Stream, error) { ended.Store(time.Now().UnixNano()) }
		s, p := e.Pair(h, session.StreamOptions{IdleTimeout: timeout})
		for n := 0; n < most && ended.Load() == 0; n++ {
			act(s, p, n, took)
			time.Sleep(5 * time.Millisecond)
		}
		err := h.Closed()
		require.ErrorIs(e, err, os.ErrDeadlineExceeded, "%s: the error of OnClose", name)
		quiet := time.Duration(ended.Load() - last.Load())
		assert.GreaterOrEqual(e, quiet, timeout, "%s: ended after %v of silence, with a timeout of %v", name, quiet, timeout)
	}
}

func wrote(s *session.Stream) bool {
	_, err := s.Write([]byte("x"))
	return err == nil
}

// idleStall holds a loop up for longer than the timeout while bytes come: there was no silence, nobody listened.
func idleStall(e *Env) {
	const timeout = 50 * time.Millisecond
	h := NewHooks()
	var last, ended atomic.Int64
	h.Data = func(s *session.Stream) { _, _ = s.Next(-1) }
	h.Close = func(*session.Stream, error) { ended.Store(time.Now().UnixNano()) }
	s, p := e.Pair(h, session.StreamOptions{IdleTimeout: timeout})
	e.onLoop(s, func() {
		_, err := p.Write([]byte("x"))
		assert.NoError(e, err)
		time.Sleep(timeout + 10*time.Millisecond)
		last.Store(time.Now().UnixNano()) // before the loop can receive them
	})
	err := h.Closed()
	require.ErrorIs(e, err, os.ErrDeadlineExceeded, "the error of OnClose")
	quiet := time.Duration(ended.Load() - last.Load())
	assert.GreaterOrEqual(e, quiet, timeout, "ended %v after bytes had come, with a timeout of %v", quiet, timeout)
}

// timers starts and stops timers. None fires too early, and Stop says whether it was in time.
func timers(e *Env) {
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	type fired struct{ want, got time.Duration }
	all := make(chan fired, 100)
	start := time.Now()
	delays := []time.Duration{0, time.Nanosecond, time.Microsecond, 300 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, 7 * time.Millisecond, 30 * time.Millisecond, -time.Second}
	for i, d := range delays {
		arm := func() { s.After(d, func() { all <- fired{d, time.Since(start)} }) }
		if i%2 == 0 {
			arm()
		} else {
			require.NoError(e, s.Post(arm), "post")
		}
	}
	for range delays {
		f := <-all
		assert.GreaterOrEqual(e, f.got, f.want, "the time after which a timer fired")
	}
	long := s.After(time.Hour, func() { e.Error("a timer fired that was stopped") })
	assert.True(e, long.Stop(), "Stop of a waiting timer is true once")
	assert.False(e, long.Stop(), "Stop of a waiting timer is true once")
	done := make(chan struct{})
	short := s.After(0, func() { close(done) })
	<-done
	e.Eventually(func() bool { return !short.Stop() }, "Stop of a timer that has fired is false")
	// A loop that sleeps for a far timer must wake for a nearer one.
	s.After(time.Hour, func() {})
	near := make(chan struct{})
	time.Sleep(moment)
	s.After(time.Millisecond, func() { close(near) })
	select {
	case <-near:
	case <-time.After(patience):
		e.Fatal("a near timer did not end the sleep")
	}
}

// timersEnd ends a stream that has timers. None fires after OnClose.
func timersEnd(e *Env) {
	h := NewHooks()
	var late atomic.Int64
	s, _ := e.Pair(h, session.StreamOptions{})
	require.NoError(e, s.Post(func() {
		for i := range 100 {
			s.After(time.Duration(i%10)*time.Millisecond, func() { late.Add(1) })
		}
		s.After(0, func() { _ = s.Abort() })
	}), "post")
	_ = h.Closed()
	n := late.Load()
	s.After(0, func() { late.Add(1000) })
	time.Sleep(moment)
	assert.Equal(e, n, late.Load(), "timers that ran, also after OnClose")
}

// manyTimers starts a hundred thousand timers and stops half of them. The others fire, once.
func manyTimers(e *Env) {
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	const n = 100_000
	var fired, stopped atomic.Int64
	done := make(chan struct{})
	require.NoError(e, s.Post(func() {
		all := make([]*session.Timer, n)
		for i := range all {
			all[i] = s.After(time.Duration(rand.Int64N(int64(50*time.Millisecond))), func() { fired.Add(1) })
		}
		for _, i := range rand.Perm(n)[:n/2] {
			if all[i].Stop() {
				stopped.Add(1)
			}
		}
		close(done)
	}), "post")
	<-done
	e.Eventually(func() bool { return fired.Load()+stopped.Load() == n }, "all timers fired or were stopped")
}
