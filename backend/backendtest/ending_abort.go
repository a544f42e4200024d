package backendtest

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on streams that are aborted.
var abortRules = []Rule{
	{"S17_AbortWith", abortWith},
	{"S17_NothingFollows", nothingFollowsAbort},
	{"S17_NothingFollowsOnOtherGoroutines", nothingFollowsElsewhere},
	{"S21_ResetsWithAFullQueue", panicWithAFullQueue},
}

// abortWith gives causes, in different places.
func abortWith(e *Env) {
	mine := errors.New("mine")
	for what, c := range map[string]struct {
		abort func(*session.Stream) error
		want  error
	}{
		"a cause":       {func(s *session.Stream) error { return s.AbortWith(mine) }, mine},
		"no cause":      {func(s *session.Stream) error { return s.AbortWith(nil) }, net.ErrClosed},
		"two causes":    {func(s *session.Stream) error { return errors.Join(s.AbortWith(mine), s.AbortWith(io.EOF)) }, mine},
		"behind Abort":  {func(s *session.Stream) error { return errors.Join(s.Abort(), s.AbortWith(mine)) }, net.ErrClosed},
		"behind Close":  {func(s *session.Stream) error { return errors.Join(s.Close(), s.AbortWith(mine)) }, mine},
		"before Close":  {func(s *session.Stream) error { return errors.Join(s.AbortWith(mine), s.Close()) }, mine},
		"behind FIN":    {func(s *session.Stream) error { return errors.Join(s.CloseWrite(), s.AbortWith(mine)) }, mine},
		"behind pauses": {func(s *session.Stream) error { s.PauseRead(); return s.AbortWith(mine) }, mine},
	} {
		e.Scenario(what, func() {
			for _, inside := range []bool{true, false} {
				h := NewHooks()
				s, p := e.Pair(h, session.StreamOptions{})
				_, err := s.Write(Pattern(1000))
				require.NoError(e, err)
				if inside {
					e.onLoop(s, func() { assert.NoError(e, c.abort(s), what) })
				} else {
					release := hold(s) // else the loop might send FIN, or end the stream, in between
					assert.NoError(e, c.abort(s), what)
					release()
				}
				err = h.Closed()
				assert.Equal(e, c.want, err, "%s: the error of OnClose", what)
				_, err = readOn(p).all(e)
				assert.True(e, e.isReset(err), "%s: the peer sees %v", what, err)
				assert.NoError(e, s.AbortWith(mine), what)
			}
		})
	}
	t, h := e.oneLoop(), NewHooks()
	h.env(e)
	busy, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	e.onLoop(busy, func() {
		s, err := t.Connect("tcp", "127.0.0.1:1", h, nil)
		if assert.NoError(e, err) {
			assert.NoError(e, s.AbortWith(mine))
		}
	})
	h.closedWith(mine)
}

// nothingFollowsAbort aborts in every kind of callback a stream that has everything waiting: bytes, timers, a queue.
func nothingFollowsAbort(e *Env) {
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "WriteNotify", "After", "Every", "Post"} {
		h := NewHooks()
		aborted, calls := false, 0
		abort := func(s *session.Stream, name string) {
			if aborted && name != "WriteNotify" {
				assert.Equal(e, "Post", name, "%s after Abort in %s", name, where)
			}
			if aborted || name != where {
				return
			}
			aborted = true
			_, _ = s.Write(Pattern(1000))
			_ = s.Abort()
			s.ResumeRead()
			s.After(0, func() { e.Errorf("a timer that was started after Abort in %s has run", where) })
			assert.Equal(e, net.ErrClosed, s.Post(func() {}), "Post after Abort in %s", where)
		}
		timers := func(s *session.Stream) {
			for range 5 { // some of them expire together
				s.After(0, func() { abort(s, "After") })
				s.Every(1, func() { abort(s, "Every") })
			}
			time.Sleep(10 * time.Microsecond)
		}
		h.Open = func(s *session.Stream) {
			_ = s.WriteNotify(Pattern(2000), func(err error) {
				if err == nil {
					abort(s, "WriteNotify")
				}
			})
			if where != "OnEOF" {
				timers(s)
			}
			abort(s, "OnOpen")
		}
		h.Data = func(s *session.Stream) {
			h.Collect(s)
			if calls++; calls == 1 && where == "Post" {
				_ = s.Post(func() { abort(s, "Post") })
			}
			abort(s, "OnData")
		}
		h.EOF = func(s *session.Stream) { timers(s); abort(s, "OnEOF") }
		h.Writable = func(s *session.Stream) { abort(s, "OnWritable") }
		if where == "OnEOF" || where == "Post" || where == "OnData" {
			h.Open = nothing
		}
		e.aborting(h, where)
		h.closedWith(net.ErrClosed)
	}
	time.Sleep(moment / 3) // for what must not run
}

// aborting makes a stream of h, whose peer sends and finishes.
func (e *Env) aborting(h *Hooks, where string) {
	e.Helper()
	o := session.StreamOptions{HighWater: 1000, LowWater: 1000, ReadWhileBlocked: true, TurnBudget: 1000, AllowHalfClose: true}
	h.env(e)
	if e.Dialled {
		l, err := net.Listen(e.Network, e.Address())
		require.NoError(e, err)
		defer l.Close()
		_, err = e.Under().Connect(e.Network, l.Addr().String(), h, &session.DialOptions{StreamOptions: o})
		require.NoError(e, err)
		c, err := l.Accept()
		require.NoError(e, err, where)
		e.sendAnyhow(e.plain(c))
		return
	}
	l, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{StreamOptions: o})
	require.NoError(e, err)
	e.Cleanup(func() { _ = l.Close() })
	if c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), patience); err == nil { // else it was reset first
		e.sendAnyhow(e.plain(c))
	}
}

// sendAnyhow sends to a stream that may be gone.
func (e *Env) sendAnyhow(p Peer) {
	_, _ = p.Write(Pattern(5000))
	_ = p.CloseWrite()
}

// nothingFollowsElsewhere aborts from another goroutine while a callback runs. What waits behind it never runs.
func nothingFollowsElsewhere(e *Env) {
	for range 5 {
		h := NewHooks()
		var aborted atomic.Bool
		in, hold := make(chan struct{}), make(chan struct{})
		late := func(what string) func() {
			return func() {
				assert.False(e, aborted.Load(), "%s after Abort", what)
			}
		}
		h.Data = func(s *session.Stream) {
			late("OnData")()
			if h.Count("OnData") == 1 {
				s.After(0, late("After"))
				s.Every(time.Microsecond, late("Every"))
				close(in)
				await(hold)
			}
		}
		s, p := e.Pair(h, session.StreamOptions{})
		e.sendAndFinish(p, Pattern(1000))
		require.True(e, await(in), "OnData")
		_, err := s.Write(Pattern(1000))
		require.NoError(e, err)
		require.NoError(e, s.Abort())
		aborted.Store(true)
		time.Sleep(time.Millisecond)
		close(hold)
		h.closedWith(net.ErrClosed)
		assert.Zero(e, h.Count("OnEOF"))
	}
}

// panicWithAFullQueue has a callback panic when there is more to send than the peer takes. The peer does not take what
// it got for all there was.
func panicWithAFullQueue(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{})
	e.fillQueue(s)
	require.NoError(e, s.Post(func() { panic("on purpose") }))
	var pe *session.PanicError
	require.ErrorAs(e, h.Closed(), &pe)
	got, err := readOn(p).all(e)
	assert.True(e, e.isReset(err), "the peer sees %v", err)
	assert.Less(e, len(got), 8<<20)
}
