package backendtest

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// workRules are about work on a loop that belongs to no stream. Those on its end are in work_ends.go.
var workRules = []Rule{
	{"S41_Post", workPosted},
	{"S41_PostInOrder", workInOrder},
	{"S41_PostFairly", workFairly},
	{"S41_After", workAfter},
	{"S41_Every", workEvery},
	{"S41_Each", workEach},
	{"S41_EachInside", workEachInside},
	{"S41_EachFairly", workEachFairly},
	{"S41_CallerDriven", workDriven},
	{"S41_PostLag", workLag},
}

// onOwnLoop posts fn to a loop, and waits until it has run.
func (e *Env) onOwnLoop(l session.Loop, fn func()) {
	e.Helper()
	done := make(chan struct{})
	require.NoError(e, l.Post(func() { defer close(done); fn() }), "post")
	require.True(e, await(done), "a function posted to loop %d never ran", l.Index())
}

// streamOnEach opens a stream on each of a Transport's two loops.
func (e *Env) streamOnEach(t *session.Engine, h *Hooks) (on [2]*session.Stream) {
	e.Helper()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	for range on {
		e.Connect(l.Addr())
		s := h.Opened()
		on[s.Loop()] = s
	}
	require.NotContains(e, on, (*session.Stream)(nil), "streams in turn on both loops")
	require.NoError(e, l.Close())
	return on
}

// workPosted posts to each of two loops. Functions run on their own loop, as callbacks of its streams do.
func workPosted(e *Env) {
	if !e.once() {
		return
	}
	t, h := e.Open(func(o *Options) { o.Loops = 2 }), NewHooks()
	for i, s := range e.streamOnEach(t, h) {
		l := t.Loop(i)
		require.Equal(e, i, l.Index())
		require.Equal(e, t.Loop(i), l, "handles of the same loop")
		unguarded := 0 // for the race detector
		e.onLoop(s, func() { unguarded++ })
		e.onOwnLoop(l, func() { unguarded++; s.SetValue(i) })
		e.onLoop(s, func() { unguarded++; assert.Equal(e, i, s.Value()) })
		require.Equal(e, 3, unguarded)
		e.Eventually(func() bool { return l.Stats() == t.Stats().Loops[i] }, "the figures of loop %d in Stats", i)
		assert.Equal(e, 1, l.Stats().Streams)
	}
	l := t.Loop(0)
	assert.Error(e, l.Post(nil), "Post of nil")
	assert.Error(e, l.Each(nil), "Each of nil")
	_, err := l.After(0, nil)
	assert.Error(e, err, "After with nil")
	_, err = l.Every(0, nothingAtAll)
	assert.Error(e, err, "Every 0")
	assert.Panics(e, func() { t.Loop(2) })
	assert.Panics(e, func() { t.Loop(-1) })
}

// workInOrder posts from many goroutines at once, and from posted functions. What each of them posts runs in order, once,
// and never beside another function.
func workInOrder(e *Env) {
	if !e.once() {
		return
	}
	const writers, n = 8, 500
	l := e.oneLoop().Loop(0)
	var running atomic.Int32
	var next, again [writers]int // unguarded
	var all sync.WaitGroup
	all.Add(2 * writers * n)
	alone := func(fn func()) func() {
		return func() {
			assert.EqualValues(e, 1, running.Add(1), "functions that run at once")
			fn()
			running.Add(-1)
			all.Done()
		}
	}
	for w := range writers {
		go func() {
			for i := range n {
				assert.NoError(e, l.Post(alone(func() {
					assert.Equal(e, i, next[w], "the number of a function of goroutine %d", w)
					next[w]++
					assert.NoError(e, l.Post(alone(func() {
						assert.Equal(e, i, again[w], "the number of one that was posted in these")
						again[w]++
					})))
					assert.LessOrEqual(e, again[w], i, "a function that was posted in another has run inside it")
				})))
				if i%50 == 0 {
					time.Sleep(100 * time.Microsecond) // so that the loop sleeps now and then
				}
			}
		}()
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	require.True(e, await(done), "not all functions have run")
}

// besideOwnWork gives a loop n pieces of work of which the first takes long, and has a byte come for a stream meanwhile. It
// returns how many pieces ran before that was delivered.
func (e *Env) besideOwnWork(t *session.Engine, n int, give func(l session.Loop, piece func())) int64 {
	e.Helper()
	var ran atomic.Int64
	heard := make(chan int64, 1)
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		heard <- ran.Load()
		h.Collect(s)
	}
	_, p := e.PairOn(t, h, session.StreamOptions{})
	give(t.Loop(0), func() {
		if ran.Load() == 0 {
			_, err := p.Write([]byte("x"))
			assert.NoError(e, err)
			time.Sleep(moment) // the byte comes meanwhile
		}
		spinFor(20 * time.Microsecond)
		ran.Add(1)
	})
	before := arrives(e, heard)
	e.Eventually(func() bool { return ran.Load() == int64(n) }, "all %d pieces of work", n)
	return before
}

// workFairly has thousands of functions run at once, and of timers. They do not keep a stream waiting that has bytes.
func workFairly(e *Env) {
	if !e.once() {
		return
	}
	const n = 5000
	t := e.oneLoop()
	before := e.besideOwnWork(t, n, func(l session.Loop, piece func()) {
		e.onOwnLoop(l, func() {
			for range n {
				assert.NoError(e, l.Post(piece))
			}
		})
	})
	assert.LessOrEqual(e, before, int64(n/10), "functions of %d that ran before a byte that came during the first", n)
	before = e.besideOwnWork(t, n, func(l session.Loop, piece func()) {
		e.onOwnLoop(l, func() {
			for range n {
				_, err := l.After(0, piece)
				assert.NoError(e, err)
			}
		})
	})
	assert.LessOrEqual(e, before, int64(n/10), "timers of %d that ran before a byte that came during the first", n)
}

// workAfter starts timers on the loop and elsewhere, and stops some. None is early, and those due at once are in order.
func workAfter(e *Env) {
	if !e.once() {
		return
	}
	l := e.oneLoop().Loop(0)
	type fired struct{ want, got time.Duration }
	all := make(chan fired, 100)
	start := time.Now()
	delays := []time.Duration{-time.Second, 0, time.Nanosecond, 300 * time.Microsecond, 1500 * time.Microsecond, 7 * time.Millisecond, 20 * time.Millisecond}
	for i, d := range delays {
		arm := func() {
			_, err := l.After(d, func() { all <- fired{d, time.Since(start)} })
			assert.NoError(e, err)
		}
		if i%2 == 0 {
			arm()
		} else {
			require.NoError(e, l.Post(arm))
		}
	}
	for range delays {
		f := arrives(e, all)
		assert.GreaterOrEqual(e, f.got, f.want, "the time after which a timer fired")
	}
	long, err := l.After(time.Hour, func() { e.Error("a timer fired that was stopped") })
	require.NoError(e, err)
	time.Sleep(moment / 3) // the loop sleeps, for an hour
	near := make(chan int, 3)
	e.onOwnLoop(l, func() {
		for i := range 3 {
			_, err := l.After(time.Millisecond, func() { near <- i })
			assert.NoError(e, err)
		}
	})
	for i := range 3 {
		assert.Equal(e, i, arrives(e, near), "the order of timers that were started one after another")
	}
	assert.True(e, long.Stop(), "Stop of a waiting timer is true once")
	assert.False(e, long.Stop(), "Stop of a waiting timer is true once")
	short, err := l.After(0, func() { near <- 4 })
	require.NoError(e, err)
	arrives(e, near)
	assert.False(e, short.Stop(), "Stop of a timer that has fired")
}

// workEvery has a function repeated: never early, and not behind a Stop, in it and elsewhere.
func workEvery(e *Env) {
	if !e.once() {
		return
	}
	const period = 5 * time.Millisecond
	l := e.oneLoop().Loop(0)
	ticks := make(chan time.Duration, 1000)
	begin := time.Now()
	timer, err := l.Every(period, func() { ticks <- time.Since(begin) })
	require.NoError(e, err)
	for i := 1; i <= 5; i++ {
		require.GreaterOrEqual(e, arrives(e, ticks), time.Duration(i)*period, "tick %d is early", i)
	}
	assert.True(e, timer.Stop())
	assert.False(e, timer.Stop())
	e.onOwnLoop(l, func() {
		for len(ticks) > 0 {
			<-ticks
		}
	})
	time.Sleep(4 * period) // for ticks that must not come
	assert.Empty(e, ticks, "it goes on behind a Stop")
	stopped := make(chan bool, 10)
	e.onOwnLoop(l, func() {
		timer, err = l.Every(period, func() { stopped <- timer.Stop() })
		assert.NoError(e, err)
	})
	assert.True(e, arrives(e, stopped), "Stop in the function")
	time.Sleep(4 * period) // for ticks that must not come
	assert.Empty(e, stopped, "it goes on behind a Stop in the function")
}

// workDriven works on the loop of a Transport that its caller drives: nothing runs outside of Poll.
func workDriven(e *Env) {
	if !e.once() {
		return
	}
	t, h := e.driven(session.StreamOptions{}), NewHooks()
	l, in := t.Loop(0), inside{e: e}
	poll := func(done func() bool, what string) {
		e.Helper()
		in.poll = true
		e.poll(done, what, t)
		in.poll = false
	}
	var ran []string
	run := func(what string) func() {
		return func() { assert.True(e, in.poll, "%s runs outside of Poll", what); ran = append(ran, what) }
	}
	require.NoError(e, l.Post(run("posted before the first Poll")))
	poll(func() bool { return len(ran) == 1 }, "a function that was posted before the first Poll")
	in.poll = true
	s, _ := e.adoptPair(t, h)
	in.poll = false
	visits := func(one *session.Stream) { assert.Equal(e, s, one); run("visit")() }
	require.NoError(e, l.Each(visits))
	require.NoError(e, l.Post(run("posted")))
	timer, err := l.Every(time.Nanosecond, run("tick"))
	require.NoError(e, err)
	assert.Len(e, ran, 1, "between two Polls")
	poll(func() bool { return len(ran) >= 4 }, "a visit, a function and a tick")
	assert.Equal(e, []string{"visit", "posted", "tick"}, ran[1:4])
	assert.True(e, timer.Stop())
	ran = nil
	require.NoError(e, l.Post(func() {
		assert.NoError(e, l.Each(visits))
		assert.Len(e, ran, 1, "Each in a function")
	}))
	poll(func() bool { return len(ran) == 1 }, "a visit")
	go func() {
		time.Sleep(moment / 3) // Poll sleeps by then
		assert.NoError(e, l.Post(run("from another goroutine")))
	}()
	in.poll = true
	for ran = nil; len(ran) == 0; runtime.Gosched() {
		_, err := t.Poll(-1) // which the post ends
		require.NoError(e, err)
	}
}

// workLag has posted functions wait. How long they did is in the figures of their loop.
func workLag(e *Env) {
	if !e.once() {
		return
	}
	const n, waits = 640, 30 * time.Millisecond
	l := e.oneLoop().Loop(0)
	in, hold := make(chan struct{}), make(chan struct{})
	require.NoError(e, l.Post(func() { close(in); await(hold) }))
	require.True(e, await(in))
	before := l.Stats().PostLag
	for range n {
		require.NoError(e, l.Post(nothingAtAll))
	}
	time.Sleep(waits) // so that each has waited for as long
	close(hold)
	e.onOwnLoop(l, nothingAtAll)
	late := uint64(0)
	after := l.Stats().PostLag
	for i := range after {
		if after.Bound(i) > waits {
			late += after[i] - before[i]
		}
	}
	assert.GreaterOrEqual(e, late, uint64(n/64), "functions that were measured and have waited for %v: %v", waits, after)
	assert.LessOrEqual(e, late, uint64(n/64+1), "functions that were measured: %v", after)
}
