package backendtest

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// workEndRules are about work on loops that end, and about work that panics, blocks or ends its loop.
var workEndRules = []Rule{
	{"S41_PostWhileEnding", workWhileEnding},
	{"S41_PostInOnClose", workInOnClose},
	{"S41_BehindTheEnd", workBehindTheEnd},
	{"S41_TimersEndWithTheLoop", workTimersEnd},
	{"S41_Panic", workPanics},
	{"S41_Blocked", workBlocked},
	{"S41_Goexit", workGoexit},
	{"S41_GoexitKeepsPromises", workGoexitKeeps},
}

// wayToEnd ends a Transport.
type wayToEnd struct {
	name string
	end  func(*Env, *session.Engine) error
}

var waysToEnd = []wayToEnd{
	{"Shutdown", func(e *Env, t *session.Engine) error { return t.Shutdown(e.patient()) }},
	{"Close", func(_ *Env, t *session.Engine) error { return t.Close() }},
	{"Goexit", func(e *Env, t *session.Engine) error {
		for i := range 2 {
			assert.NoError(e, t.Loop(i).Post(runtime.Goexit))
		}
		<-t.Done()
		return t.Close()
	}},
}

// workWhileEnding posts without a pause while a Transport ends. What Post has accepted has run, once, when the end is there;
// everything else was refused. Functions that post themselves again do not keep the Transport from ending.
func workWhileEnding(e *Env) {
	if !e.once() {
		return
	}
	for _, way := range waysToEnd {
		e.Scenario(way.name, func() {
			t := e.Open(func(o *Options) { o.Loops = 2 })
			e.PairOn(t, echo(), session.StreamOptions{})
			var accepted, ran atomic.Int64
			var posters sync.WaitGroup
			for i := range 4 {
				l := t.Loop(i % 2)
				posters.Go(func() {
					for {
						if err := l.Post(func() { ran.Add(1) }); err != nil {
							assert.ErrorIs(e, err, net.ErrClosed)
							return
						}
						accepted.Add(1)
						runtime.Gosched()
					}
				})
				var again func()
				again = func() {
					ran.Add(1)
					if l.Post(again) == nil {
						accepted.Add(1)
					}
				}
				accepted.Add(1)
				require.NoError(e, l.Post(again))
			}
			e.Eventually(func() bool { return ran.Load() > 1000 }, "posted functions")
			e.within("the end", func() { assert.NoError(e, way.end(e, t)) })
			e.within("a refusal for everybody who posts", posters.Wait)
			assert.Equal(e, accepted.Load(), ran.Load(), "functions that were accepted, and that have run")
		})
	}
}

// workInOnClose posts in the last callbacks of streams, of a Transport that is closed: it is accepted, and runs.
func workInOnClose(e *Env) {
	if !e.once() {
		return
	}
	t, h := e.oneLoop(), NewHooks()
	var ran atomic.Int64
	h.Close = func(*session.Stream, error) {
		assert.NoError(e, t.Loop(0).Post(func() { ran.Add(1) }))
	}
	for range 5 {
		e.PairOn(t, h, session.StreamOptions{})
	}
	require.NoError(e, t.Close())
	assert.EqualValues(e, 5, ran.Load(), "functions that were posted in OnClose")
}

// refuses checks that nothing begins on a loop.
func (e *Env) refuses(l session.Loop) {
	e.Helper()
	never := func() { e.Error("a function runs that was refused") }
	assert.ErrorIs(e, l.Post(never), net.ErrClosed)
	timer, err := l.After(0, never)
	assert.ErrorIs(e, err, net.ErrClosed)
	assert.False(e, timer.Stop(), "Stop of a timer that was refused")
	timer, err = l.Every(time.Nanosecond, never)
	assert.ErrorIs(e, err, net.ErrClosed)
	assert.False(e, timer.Stop(), "Stop of a timer that was refused")
	assert.ErrorIs(e, l.Each(func(*session.Stream) { never() }), net.ErrClosed)
}

// workBehindTheEnd works on loops that have ended, of all kinds. They refuse it, and still have their figures.
func workBehindTheEnd(e *Env) {
	if !e.once() {
		return
	}
	for _, way := range waysToEnd {
		t, h := e.Open(func(o *Options) { o.Loops = 2 }), NewHooks()
		e.PairOn(t, h, session.StreamOptions{})
		l := t.Loop(0)
		e.onOwnLoop(l, nothingAtAll)
		assert.NoError(e, way.end(e, t), way.name)
		e.refuses(l)
		assert.Equal(e, 0, l.Index())
		assert.Positive(e, l.Stats().Turns, way.name)
		assert.Equal(e, t.Stats().Loops[0], l.Stats())
		time.Sleep(moment / 6) // for what was refused, and must never run
	}
	t := e.driven(session.StreamOptions{})
	require.NoError(e, t.Close())
	e.refuses(t.Loop(0))
}

// workTimersEnd ends loops that have timers. They do not delay the end, none runs behind it, and all are stopped.
func workTimersEnd(e *Env) {
	if !e.once() {
		return
	}
	for _, way := range waysToEnd {
		e.Scenario(way.name, func() {
			t := e.Open(func(o *Options) { o.Loops = 2 })
			l := t.Loop(0)
			var over atomic.Bool
			run := func() { assert.False(e, over.Load(), "a timer runs behind the end") }
			far, err := l.After(time.Hour, run)
			require.NoError(e, err)
			near, err := l.Every(50*time.Microsecond, run)
			require.NoError(e, err)
			for i := range 1000 {
				_, err = l.After(time.Duration(i)*20*time.Microsecond, run)
				require.NoError(e, err)
			}
			e.within("the end", func() { assert.NoError(e, way.end(e, t)) })
			over.Store(true)
			assert.False(e, far.Stop(), "Stop of a timer that the loop's end has stopped")
			assert.False(e, near.Stop(), "Stop of a timer that the loop's end has stopped")
			time.Sleep(moment) // for what must never run
		})
	}
}

// workPanics panics in functions of a loop: that is logged and counted, and nothing else ends. In Each it is its stream.
func workPanics(e *Env) {
	if !e.once() {
		return
	}
	for where, begin := range loopWork {
		name, _, _ := strings.Cut(where, " ")
		t, log := e.openLogging(func(o *Options) { o.Loops = 1 })
		h, l := echo(), t.Loop(0)
		_, p := e.PairOn(t, h, session.StreamOptions{})
		require.NoError(e, begin(l, func() { panic(errors.New("boom in " + where)) }))
		e.Eventually(func() bool { return t.Stats().Panics > 0 }, "a panic in %s that is counted", where)
		for _, says := range []string{"level=ERROR", "callback=" + name, "boom in " + where, "work_ends.go"} {
			e.logged(log, says)
		}
		if name == "Each" {
			var pe *session.PanicError
			assert.ErrorAs(e, h.Closed(), &pe)
		} else {
			assert.Contains(e, log.String(), "loop=0")
			e.pingPong(p)
		}
		e.onOwnLoop(l, nothingAtAll)
		require.NoError(e, t.Close())
	}
}

// workBlocked shuts down while a function of a loop does not return. The error says what is in the way.
func workBlocked(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 2 })
	e.PairOn(t, NewHooks(), session.StreamOptions{}) // so that another callback was the last but one
	in, hold := make(chan struct{}), make(chan struct{})
	require.NoError(e, t.Loop(1).Post(func() { close(in); await(hold) }))
	require.True(e, await(in))
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	err := t.Shutdown(ctx)
	assert.ErrorIs(e, err, context.DeadlineExceeded)
	assert.ErrorContains(e, err, "Post of loop 1")
	close(hold)
	assert.NoError(e, t.Shutdown(context.Background()))
}

// loopWork has the ways to have a loop call a function of its own. The first word is what the callback is called in messages.
var loopWork = map[string]func(session.Loop, func()) error{
	"Post":  func(l session.Loop, fn func()) error { return l.Post(fn) },
	"After": func(l session.Loop, fn func()) error { _, err := l.After(0, fn); return err },
	"Every": func(l session.Loop, fn func()) error { _, err := l.Every(time.Nanosecond, fn); return err },
	"Each":  func(l session.Loop, fn func()) error { return l.Each(func(*session.Stream) { fn() }) },
	"Each inside": func(l session.Loop, fn func()) error {
		return l.Post(func() { _ = l.Each(func(*session.Stream) { fn() }) })
	},
}

// workGoexit ends one of two loops in its functions.
func workGoexit(e *Env) {
	if !e.once() {
		return
	}
	for where, begin := range loopWork {
		w := e.twoLoops()
		l := w.t.Loop(w.s.Loop())
		require.NoError(e, begin(l, runtime.Goexit))
		name, _, _ := strings.Cut(where, " ")
		w.died(e, name+" of ")
		e.refuses(l)
	}
}

// workGoexitKeeps ends a loop in one of many functions that have been accepted. The others run all the same, once, as do
// those that end the goroutine once more.
func workGoexitKeeps(e *Env) {
	if !e.once() {
		return
	}
	w := e.twoLoops()
	l := w.t.Loop(w.s.Loop())
	release := hold(w.s)
	const n = 100
	var ran atomic.Int64
	for i := range n {
		require.NoError(e, l.Post(func() {
			assert.EqualValues(e, i, ran.Add(1)-1, "the order")
			if i%30 == 10 {
				runtime.Goexit()
			}
		}))
	}
	release()
	w.died(e, backend.ErrGoexit.Error())
	assert.EqualValues(e, n, ran.Load(), "functions that have run")
}
