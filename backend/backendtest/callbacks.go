package backendtest

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on callbacks: those that panic, that take long or that do not return, and how often they are called.
var callbackRules = []Rule{
	{"S21_LogsTheCallback", logsTheCallback},
	{"S21_LogCountsTheRest", logCountsTheRest},
	{"S23_EveryWithoutDrift", everyWithoutDrift},
	{"S23_EveryStops", everyStops},
	{"S32_BlockedInEachCallback", blockedInEachCallback},
	{"S32_DrainsTheOpen", drainsTheOpen},
	{"S33_SlowHandler", slowHandler},
	{"S33_PostedByMany", postedByMany},
	{"S35_LongestCallback", longestCallback},
}

// logsTheCallback looks at what is logged of a panic.
func logsTheCallback(e *Env) {
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "WriteNotify", "After", "Post", "OnClose"} {
		t, log := e.openLogging(nil)
		h := panicking(where, fmt.Errorf("boom in %s", where))
		h.env(e)
		l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{StreamOptions: session.StreamOptions{HighWater: 1000, LowWater: 500}})
		require.NoError(e, err)
		if c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), patience); err == nil {
			p := e.plain(c)
			_, _ = p.Write([]byte("go"))
			if where == "OnEOF" || where == "OnClose" {
				_ = p.CloseWrite()
			}
		}
		_ = h.Closed()
		e.Eventually(func() bool { return strings.Contains(log.String(), "level=ERROR") }, "a message about %s", where)
		for _, says := range []string{"callback=" + where, "boom in " + where, "stream=", "callbacks.go", "goroutine "} {
			if says == "callbacks.go" {
				says = "time.go" // where panicking is
			}
			assert.Contains(e, log.String(), says)
		}
		require.NoError(e, l.Close())
	}
}

// logCountsTheRest has more panics than are logged. The next message says how many there were.
func logCountsTheRest(e *Env) {
	if !e.once() {
		return
	}
	t, log := e.openLogging(nil)
	h := NewHooks()
	h.Data = func(*session.Stream) { panic("on purpose") }
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	panics := 0
	burst := func(n int) {
		for range n {
			p := e.Connect(l.Addr())
			_, err := p.Write([]byte("x"))
			require.NoError(e, err)
			_ = h.Closed()
		}
		panics += n
	}
	began := time.Now()
	burst(40)
	logged := strings.Count(log.String(), "level=ERROR")
	assert.LessOrEqual(e, logged, 10*(int(time.Since(began)/time.Second)+1), "messages about 40 panics")
	assert.GreaterOrEqual(e, logged, 10, "messages about 40 panics")
	time.Sleep(1050 * time.Millisecond) // the second in which messages are left out has passed
	burst(1)
	for _, m := range regexp.MustCompile(`skipped=(\d+)`).FindAllStringSubmatch(log.String(), -1) {
		n, _ := strconv.Atoi(m[1])
		panics -= n
	}
	assert.Equal(e, strings.Count(log.String(), "level=ERROR"), panics, "messages, and panics that none of them counts")
}

// everyWithoutDrift drives a loop by hand, and is late for some ticks. The others come when they are due.
func everyWithoutDrift(e *Env) {
	if !e.once() {
		return
	}
	const period = 20 * time.Millisecond
	t, h := e.driven(session.StreamOptions{}), NewHooks()
	s, _ := e.adoptPair(t, h)
	for try := 0; ; try++ {
		ticks, last := 0, time.Time{}
		began := time.Now()
		timer := s.Every(period, func() { ticks++; last = time.Now() })
		next := func(due time.Duration) (late time.Duration) {
			e.Helper()
			before := ticks
			e.poll(func() bool { return ticks > before }, "a tick", t)
			require.Equal(e, before+1, ticks, "ticks in one turn")
			late = last.Sub(began) - due
			require.GreaterOrEqual(e, late, time.Duration(0), "a tick is early")
			return late
		}
		next(period)
		time.Sleep(period * 5 / 2) // the second tick is late by half a period or more, and the third is missed
		next(2 * period)
		missed := (last.Sub(began) / period) + 1
		late := next(missed * period)
		late = max(late, next((missed+1)*period))
		assert.True(e, timer.Stop())
		if late < period/4 {
			return
		}
		require.Less(e, try, 20, "ticks are late by %v, because others were", late)
	}
}

// everyStops stops repeated functions in several places. None runs afterwards.
func everyStops(e *Env) {
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	var timer atomic.Pointer[session.Timer]
	var ran atomic.Int64
	stop := func() bool { return timer.Load().Stop() }
	begin := func(fn func()) {
		e.onLoop(s, func() { timer.Store(s.Every(time.Millisecond, fn)) })
	}
	begin(func() {
		ran.Add(1)
		assert.True(e, stop(), "Stop in the function")
		assert.False(e, stop(), "Stop again")
	})
	e.Eventually(func() bool { return ran.Load() == 1 }, "a tick")
	time.Sleep(moment / 3) // ten ticks, if there were any; so below
	assert.EqualValues(e, 1, ran.Load(), "ticks behind a Stop in the function")

	begin(func() { ran.Add(1) })
	e.Eventually(func() bool { return ran.Load() > 5 }, "ticks")
	e.onLoop(s, func() { assert.True(e, stop()); ran.Store(0) })
	time.Sleep(moment / 3)
	assert.Zero(e, ran.Load(), "ticks behind a Stop on the loop")

	outside := s.Every(time.Millisecond, func() { ran.Add(1) })
	e.Eventually(func() bool { return ran.Load() > 5 }, "ticks")
	assert.True(e, outside.Stop())
	e.onLoop(s, func() { ran.Store(0) })
	time.Sleep(moment / 3)
	assert.Zero(e, ran.Load(), "ticks behind a Stop")

	begin(func() { ran.Add(1); _ = s.Close(); ran.Store(100) })
	h.closedWith(nil)
	after := ran.Load()
	time.Sleep(moment / 3)
	assert.Equal(e, after, ran.Load(), "ticks behind OnClose")
	assert.False(e, stop(), "Stop behind OnClose")
	assert.Panics(e, func() { s.Every(0, nothingAtAll) })
	assert.Panics(e, func() { s.Every(time.Second, nil) })
}

// blockingHooks do not return from one kind of callback.
func blockingHooks(where string, block func(*session.Stream)) drainHooks {
	h := drainHooks{Hooks: NewHooks()}
	at := func(name string) func(*session.Stream) {
		return func(s *session.Stream) {
			if name == where {
				block(s)
			}
		}
	}
	h.Open, h.EOF, h.drain = at("OnOpen"), at("OnEOF"), at("OnDrain")
	h.Close = func(s *session.Stream, _ error) { at("OnClose")(s) }
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		at("OnData")(s)
		fn := at(where)
		switch where {
		case "WriteNotify":
			_ = s.WriteNotify([]byte("x"), func(error) { fn(s) })
		case "After":
			s.After(0, func() { fn(s) })
		case "Post":
			_ = s.Post(func() { fn(s) })
		}
	}
	return h
}

// provoke has a peer do what a stream's callback of one kind, except OnDrain, is called for.
func (e *Env) provoke(t *session.Engine, h drainHooks, where string) {
	e.Helper()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	p := e.Connect(l.Addr())
	_, err = p.Write([]byte("go"))
	require.NoError(e, err)
	if where == "OnEOF" || where == "OnClose" {
		require.NoError(e, p.CloseWrite())
	}
}

// blockedInEachCallback shuts down while a callback does not return. Whoever waits without an end waits for it.
func blockedInEachCallback(e *Env) {
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnClose", "After", "Post", "WriteNotify", "OnDrain"} {
		t, hold := e.Open(nil), make(chan struct{})
		in := make(chan *session.Stream, 10)
		h := blockingHooks(where, func(s *session.Stream) { in <- s; await(hold) })
		e.provoke(t, h, where)
		if where != "OnDrain" {
			in <- arrives(e, in)
		} else {
			h.Opened()
		}
		ctx, cancel := context.WithTimeout(context.Background(), moment)
		defer cancel()
		began := time.Now()
		err := t.Shutdown(ctx)
		assert.Less(e, time.Since(began), moment+time.Second, "%s: Shutdown with a context of %v", where, moment)
		assert.ErrorIs(e, err, context.DeadlineExceeded, where)
		assert.ErrorContains(e, err, "of stream "+itoa(arrives(e, in).ID()), where)
		again := make(chan error, 1)
		go func() { again <- t.Shutdown(context.Background()) }()
		select {
		case err := <-again:
			e.Errorf("%s: a Shutdown without an end returns %v while the callback runs", where, err)
		case <-time.After(moment / 3):
		}
		close(hold)
		assert.NoError(e, arrives(e, again), where)
		_ = h.Closed()
		require.NoError(e, t.Close())
	}
}

// drainsTheOpen shuts down beside streams that somebody has ended already, in the turn in which it begins.
func drainsTheOpen(e *Env) {
	for what, end := range map[string]func(*session.Stream){
		"Close": func(s *session.Stream) { _ = s.Close() },
		"Abort": func(s *session.Stream) { _ = s.Abort() },
		"Detach": func(s *session.Stream) {
			c, err := s.Detach()
			if assert.NoError(e, err) {
				e.Cleanup(func() { _ = c.Close() })
			}
		},
	} {
		e.Scenario(what, func() {
			t := e.oneLoop()
			h := drainHooks{NewHooks(), func(*session.Stream) { e.Errorf("OnDrain behind %s", what) }}
			h.Open = func(s *session.Stream) { s.SetHandler(h) }
			s, p := e.PairOn(t, h.Hooks, session.StreamOptions{})
			e.small(s)
			e.onLoop(s, nothingAtAll)
			in, hold := make(chan struct{}), make(chan struct{})
			require.NoError(e, s.Post(func() { close(in); await(hold); end(s) }))
			require.True(e, await(in))
			shut := make(chan error, 1)
			go func() { shut <- t.Shutdown(e.patient()) }()
			time.Sleep(moment / 3) // so that it is the next thing that the loop does
			close(hold)
			assert.NoError(e, arrives(e, shut), what)
			_ = h.Closed()
			_ = p.Close()
		})
	}
}

// countTurns counts the turns of a Transport's only loop, for callbacks. The figures of Stats are as of the last sleep or
// the end of a turn.
func (e *Env) countTurns(t *session.Engine) *int {
	e.Helper()
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	n := 0
	var next func()
	next = func() {
		n++
		_ = s.Post(next) // until the stream ends
	}
	require.NoError(e, s.Post(next))
	return &n
}

// slowHandler needs more than its share for each call. It is called once in a turn.
func slowHandler(e *Env) {
	const need, budget, times = 1500 * time.Microsecond, 1000, 20
	t, h := e.oneLoop(), NewHooks()
	turns, turn, inTurn, most := e.countTurns(t), 0, 0, 0
	h.Data = func(s *session.Stream) {
		if *turns != turn {
			turn, inTurn = *turns, 0
		}
		inTurn++
		most = max(most, inTurn)
		h.Collect(s)
		spinFor(need)
	}
	begun := e.heldUp(t, h, session.StreamOptions{}, nothing, nothing)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range times {
			_, _ = begun.p.Write(Pattern(budget))
			time.Sleep(need / 4) // so that bytes come while a callback runs
		}
	}()
	time.Sleep(need) // some have come before the first callback
	begun.goOn()
	e.Eventually(func() bool { return h.Len() == times*budget }, "all bytes")
	require.True(e, await(done))
	assert.Equal(e, 1, most, "calls of %v in one turn", need)
}

// postedByMany has posted functions of many streams wait. Together they leave the other things of a turn their time.
func postedByMany(e *Env) {
	const streams, n, need = 40, 200, 200 * time.Microsecond
	t, h := e.oneLoop(), NewHooks()
	var all []*session.Stream
	for range streams {
		s, _ := e.PairOn(t, h, session.StreamOptions{})
		all = append(all, s)
	}
	release := hold(all[0])
	turn, inTurn, most := uint64(0), 0, 0
	var ran atomic.Int64
	for i := range n {
		require.NoError(e, all[i%streams].Post(func() {
			if now := t.Stats().Turns; now != turn { // which may be two turns at most
				turn, inTurn = now, 0
			}
			inTurn++
			most = max(most, inTurn)
			spinFor(need)
			ran.Add(1)
		}))
	}
	release()
	e.Eventually(func() bool { return ran.Load() == n }, "all posted functions")
	assert.LessOrEqual(e, most, 24, "posted functions of %v in one turn, of %d streams", need, streams)
}

// longestCallback has callbacks that are not counted take long, beside data of another stream.
func longestCallback(e *Env) {
	const long = 30 * time.Millisecond // that the callbacks take which are not counted
	t := e.oneLoop()
	slow, h := NewHooks(), NewHooks()
	s, _ := e.PairOn(t, slow, session.StreamOptions{})
	other, p := e.PairOn(t, h, session.StreamOptions{})
	for range 5 {
		e.writeAll(p, Pattern(1000))
		e.onLoop(other, func() { other.PauseRead() })
		e.writeAll(p, Pattern(1000))
		e.onLoop(s, func() { time.Sleep(long / 10); other.ResumeRead(); time.Sleep(long) })
		notified := make(chan struct{})
		require.NoError(e, s.WriteNotify([]byte("x"), func(error) { time.Sleep(long); close(notified) }))
		require.True(e, await(notified))
		s.After(0, func() { time.Sleep(long) })
		e.turn(s)
	}
	e.Eventually(func() bool { return h.Len() == 10_000 }, "all bytes")
	took := t.Stats().LongestCallback
	assert.Positive(e, took)
	assert.Less(e, took, long, "the longest callback for data took %v, of stream %d; it was another one that did", took, t.Stats().LongestCallbackStream)
}
