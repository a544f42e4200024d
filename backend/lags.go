package backend

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// Lags counts times by their length. Lags[0] is how many were shorter than a microsecond, Lags[i] how many were at least
// half of Bound(i) and shorter than that, and the last one how many were longer.
type Lags [23]uint64

// Bound is the time that all in Lags[i] were shorter than, 2^i µs. Those of the last one may have been longer.
func (Lags) Bound(i int) time.Duration { return time.Microsecond << i }

// Count is how many times there are.
func (s Lags) Count() (n uint64) {
	for _, k := range s {
		n += k
	}
	return n
}

// Quantile is the Bound of the times among which the share q of all ends: with 0.5 half of them are shorter than that, with
// 1 all. It is 0 if there are none.
func (s Lags) Quantile(q float64) time.Duration {
	n, before := float64(s.Count()), uint64(0)
	for i, k := range s {
		if before += k; before > 0 && float64(before) >= q*n {
			return s.Bound(i)
		}
	}
	return 0
}

// Plus is the sum of two counts.
func (s Lags) Plus(o Lags) Lags {
	for i, k := range o {
		s[i] += k
	}
	return s
}

// lagsEvery is how many tasks are posted for each whose lag is measured.
const lagsEvery = 64

// sharedLags are Lags that one goroutine counts and any may read.
type sharedLags [len(Lags{})]atomic.Uint64

func (s *sharedLags) note(ns int64) {
	s[min(bits.Len64(uint64(max(ns, 0)/1000)), len(s)-1)].Add(1)
}

func (s *sharedLags) load() (all Lags) {
	for i := range s {
		all[i] = s[i].Load()
	}
	return all
}

// PostLags are how long tasks have waited from Post until they ran; one of 64 is measured. Any goroutine.
func (l *Loop) PostLags() Lags { return l.lags.load() }

// timedTask is a task whose lag is measured.
type timedTask struct {
	loop   *Loop
	task   Task
	posted int64 // on the loop's clock
}

var timedTasks = sync.Pool{New: func() any { return new(timedTask) }}

// timed returns t so that its lag will be known.
func (l *Loop) timed(t Task) Task {
	timed := timedTasks.Get().(*timedTask)
	*timed = timedTask{loop: l, task: t, posted: l.Clock()}
	return timed
}

// Run implements Task.
func (t *timedTask) Run() {
	l, task := t.loop, t.task
	l.lags.note(l.Clock() - t.posted)
	*t = timedTask{}
	timedTasks.Put(t)
	l.runTask(task)
}
