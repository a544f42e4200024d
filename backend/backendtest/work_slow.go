package backendtest

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// slowRules are about callbacks that take long. How long that is, and what is spared, is tested by package session, with a
// clock that is moved by hand.
var slowRules = []Rule{
	{"S41_SlowCallback", slowCallbacks},
	{"S41_SlowCallbackDriven", slowDriven},
	{"S41_SlowCallbackOff", slowOff},
}

// soon is a SlowCallback that a test can wait for.
const soon = 20 * time.Millisecond

// slowCallbacks has a callback of each kind not return until it was logged, with its name, its stream and its stack.
func slowCallbacks(e *Env) {
	if !e.once() {
		return
	}
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnClose", "After", "Post", "WriteNotify"} {
		t, log := e.openLogging(func(o *Options) { o.SlowCallback = soon })
		var took atomic.Int64
		h := blockingHooks(where, func(*session.Stream) {
			began := time.Now()
			assert.True(e, waitFor(func() bool { return strings.Contains(log.String(), "level=WARN") }), "%s is not logged", where)
			took.Store(int64(time.Since(began)))
		})
		e.provoke(t, h, where)
		s := h.Opened()
		e.Eventually(func() bool { return took.Load() > 0 }, "the end of %s", where)
		assert.GreaterOrEqual(e, time.Duration(took.Load()), soon, "%s was logged after", where)
		for _, says := range []string{"callback=" + where, "stream=" + itoa(s.ID()), "loop=" + itoa(uint64(s.Loop())), "slowCallbacks"} {
			assert.Contains(e, log.String(), says)
		}
		e.Eventually(func() bool { return t.Loop(s.Loop()).Stats().SlowCallbacks == 1 }, "%s in the figures", where)
		assert.Equal(e, 1, strings.Count(log.String(), "level=WARN"), "messages about one callback")
		require.NoError(e, t.Close())
	}
	slowWork(e)
}

// slowWork is slowCallbacks for functions of a loop.
func slowWork(e *Env) {
	for where, begin := range loopWork {
		t, log := e.openLogging(func(o *Options) { o.SlowCallback, o.Loops = soon, 1 })
		e.PairOn(t, NewHooks(), session.StreamOptions{})
		name, _, _ := strings.Cut(where, " ")
		over := make(chan struct{})
		end := sync.OnceFunc(func() { close(over) })
		require.NoError(e, begin(t.Loop(0), func() {
			assert.True(e, waitFor(func() bool { return strings.Contains(log.String(), "callback="+name) }), "%s is not logged", where)
			end()
		}))
		require.True(e, await(over), "%s does not end", where)
		assert.Contains(e, log.String(), "slowWork")
		require.NoError(e, t.Close())
	}
}

// slowDriven has a callback take long in Poll, after a rest. The goroutine that polls is found.
func slowDriven(e *Env) {
	if !e.once() {
		return
	}
	t, log := e.openLogging(func(o *Options) { o.SlowCallback, o.CallerDriven, o.Loops = soon, true, 1 })
	done := false
	for range 2 {
		before := strings.Count(log.String(), "level=WARN")
		require.NoError(e, t.Loop(0).Post(func() {
			done = waitFor(func() bool { return strings.Count(log.String(), "level=WARN") > before })
		}))
		e.poll(func() bool { return done }, "a message about a function that takes long", t)
		time.Sleep(2 * soon) // between two Polls nothing runs
		assert.Equal(e, before+1, strings.Count(log.String(), "level=WARN"))
		done = false
	}
	assert.Contains(e, log.String(), "slowDriven")
}

// slowOff has nobody look.
func slowOff(e *Env) {
	if !e.once() {
		return
	}
	t, log := e.openLogging(func(o *Options) { o.SlowCallback = -1 })
	e.onOwnLoop(t.Loop(0), func() { time.Sleep(200 * time.Millisecond) }) // twice the default
	assert.Empty(e, log.String())
	assert.Zero(e, t.Stats().SlowCallbacks)
}
