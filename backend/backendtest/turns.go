package backendtest

import (
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/tandem-io/tandem/session"
)

// turnRules are about what one kind of work may take of a loop's turn, and when a sleep ends.
var turnRules = []Rule{
	{"S23_Resolution", resolution},
	{"S33_PostedFunctions", postedFunctions},
	{"S33_Timers", dueTimers},
	{"S35_LongestTurn", longestTurn},
}

// spinFor keeps the processor for d.
func spinFor(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}

// besideWork gives a loop n pieces of work of 20 µs each, has a peer's byte come during the first of them, and returns how
// many ran before the byte was delivered. They have to run in order.
func besideWork(e *Env, n int, give func(s *session.Stream, piece func(i int))) int64 {
	e.Helper()
	var ran atomic.Int64
	heard := make(chan int64, 1)
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		heard <- ran.Load()
		h.Collect(s)
	}
	s, p := e.PairOn(e.oneLoop(), h, session.StreamOptions{})
	release := hold(s)
	give(s, func(i int) {
		assert.EqualValues(e, i, ran.Load(), "the order")
		if i == 0 {
			_, err := p.Write([]byte("x"))
			assert.NoError(e, err)
		}
		spinFor(20 * time.Microsecond)
		ran.Add(1)
	})
	release()
	before := arrives(e, heard)
	e.Eventually(func() bool { return ran.Load() == int64(n) }, "all %d pieces of work", n)
	return before
}

// A turn runs posted functions for 1 ms, which is 50 of them. The byte comes in one of the next few.
const workTurns = 10

// postedFunctions posts thousands of functions at once. They do not keep a stream waiting whose byte comes meanwhile.
func postedFunctions(e *Env) {
	const n = 5000
	before := besideWork(e, n, func(s *session.Stream, piece func(int)) {
		for i := range n {
			assert.NoError(e, s.Post(func() { piece(i) }))
		}
	})
	assert.LessOrEqual(e, before, int64(workTurns*54), "functions of %d that ran before a byte that came during the first of them", n)
}

// dueTimers has thousands of timers fire at once. They do not keep a stream waiting whose byte comes meanwhile.
func dueTimers(e *Env) {
	const n = 5000
	before := besideWork(e, n, func(s *session.Stream, piece func(int)) {
		for i := range n {
			s.After(0, func() { piece(i) })
		}
	})
	assert.LessOrEqual(e, before, int64(workTurns*54), "timers of %d that fired before a byte that came during the first of them", n)
}

// longestTurn has one turn last, and a loop sleep.
func longestTurn(e *Env) {
	t := e.Open(func(o *Options) { o.Loops = 1 })
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	const work = 200 * time.Millisecond
	time.Sleep(work)
	before := t.Stats().LongestTurn
	assert.Less(e, before, work, "sleep is no part of a turn")
	done := make(chan struct{})
	s.After(time.Millisecond, func() { spinFor(work); close(done) })
	arrives(e, done)
	e.Eventually(func() bool { return t.Stats().LongestTurn >= work }, "a turn of %v, not %v", work, t.Stats().LongestTurn)
	assert.Equal(e, t.Stats().LongestTurn, t.Stats().Loops[0].LongestTurn)
}
