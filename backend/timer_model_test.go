package backend

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// timerModel does what Timers does, in a plain way, and compares at every step.
type timerModel struct {
	t        *testing.T
	rand     *rand.Rand
	scales   []time.Duration // of durations
	w        Timers
	now      int64
	seq      uint64
	count    int          // of fired timers
	live     []modelTimer // sorted
	expiring int64        // what Expire was called with
	last     uint64       // the last that was started before Expire, which does not fire later ones
	timers   []Timer
}

type modelTimer struct {
	when int64
	seq  uint64
	i    int // in timers
}

func newTimerModel(t *testing.T, seed uint64, n, moves int) *timerModel {
	m := &timerModel{t: t, rand: rand.New(rand.NewPCG(seed, 0)), timers: make([]Timer, n)}
	m.scales = []time.Duration{1, time.Microsecond, 1 << tickShift, time.Second, time.Hour, 24 * 365 * time.Hour}
	if seed%2 == 0 {
		m.scales = m.scales[:2] // most timers are in the heap
	}
	m.w.most = moves
	for i := range m.timers {
		m.timers[i].Fire = func() { m.fired(i) }
	}
	return m
}

func (m *timerModel) start(i int, when int64) {
	m.forget(i)
	m.w.Start(&m.timers[i], when)
	m.seq++
	mt := modelTimer{when, m.seq, i}
	at, _ := slices.BinarySearchFunc(m.live, mt, compareModelTimers)
	m.live = slices.Insert(m.live, at, mt)
}

func (m *timerModel) stop(i int) {
	m.t.Helper()
	was := m.forget(i)
	if got := m.w.Stop(&m.timers[i]); got != was {
		m.t.Fatalf("Stop reported %v, want %v", got, was)
	}
	if m.timers[i].Active() {
		m.t.Fatal("active after Stop")
	}
}

// forget takes timer i out of the model and reports whether it was there.
func (m *timerModel) forget(i int) bool {
	is := func(mt modelTimer) bool { return mt.i == i }
	before := len(m.live)
	m.live = slices.DeleteFunc(m.live, is)
	return len(m.live) < before
}

// fired is Fire of timer i: it must be the first of those due. It sometimes starts and stops others, and itself.
func (m *timerModel) fired(i int) {
	m.t.Helper()
	if due, ok := m.due(); !ok || due.i != i {
		m.t.Fatalf("timer %d fired at %d, expected %v, %v", i, m.now, due, ok)
	}
	m.count++
	m.forget(i)
	if m.timers[i].Active() {
		m.t.Fatal("active in its own Fire")
	}
	switch other := m.rand.IntN(len(m.timers)); m.rand.IntN(6) {
	case 0:
		m.stop(other)
	case 1:
		m.start(other, m.when())
	case 2:
		m.start(i, m.when())
	}
	m.checkNext()
}

// due is the timer that Expire has to fire next.
func (m *timerModel) due() (modelTimer, bool) {
	for _, mt := range m.live {
		if mt.when > m.expiring {
			break
		}
		if mt.seq <= m.last {
			return mt, true
		}
	}
	return modelTimer{}, false
}

// expire calls Expire; where moves are bounded, until it has done everything.
func (m *timerModel) expire(now int64) {
	m.t.Helper()
	m.now = max(m.now, now)
	m.expiring = now
	for calls := 0; ; calls++ {
		m.last = m.seq
		before := m.count
		n := m.w.Expire(now, never)
		if fired := m.count - before; n != fired {
			m.t.Fatalf("Expire returned %d, fired %d", n, fired)
		}
		due, ok := m.due()
		if next := m.checkNext(); !ok && (next > now || len(m.live) == 0) || m.w.most == 0 {
			break
		}
		if calls > 100*(len(m.timers)+1) {
			m.t.Fatalf("no end of it at %d; %v has not fired", now, due)
		}
	}
	if due, ok := m.due(); ok {
		m.t.Fatalf("not fired at %d: %v", now, due)
	}
}

// reach goes from Next to Next until the earliest timer has fired.
func (m *timerModel) reach() {
	m.t.Helper()
	if len(m.live) == 0 {
		return
	}
	for range 10 {
		next := m.checkNext()
		earliest := m.live[0]
		m.expire(max(next, m.now))
		if next == earliest.when {
			return
		}
	}
	m.t.Fatalf("timer at %d is not reached in 10 steps", m.live[0].when)
}

func (m *timerModel) checkNext() int64 {
	m.t.Helper()
	next, ok := m.w.Next()
	if ok != (len(m.live) > 0) || m.w.Len() != len(m.live) {
		m.t.Fatalf("Next ok=%v, Len %d, want %d timers", ok, m.w.Len(), len(m.live))
	}
	if ok && next > m.live[0].when {
		m.t.Fatalf("Next is %d, the earliest timer at %d", next, m.live[0].when)
	}
	if ok && !m.w.firing && m.w.moving == nil && tickOf(m.live[0].when) <= m.w.tick && next != m.live[0].when {
		m.t.Fatalf("Next is %d, not the exact %d", next, m.live[0].when)
	}
	return next
}

// when is some time: mostly in the future, near or far.
func (m *timerModel) when() int64 {
	switch m.rand.IntN(16) {
	case 0:
		return m.now
	case 1:
		return m.rand.Int64() - m.rand.Int64() // any, also negative
	case 2:
		return math.MaxInt64 - m.rand.Int64N(3)
	case 3:
		return m.now - m.rand.Int64N(int64(time.Hour))
	}
	d := m.rand.Int64N(100 * int64(m.scales[m.rand.IntN(len(m.scales))]))
	if m.rand.IntN(4) == 0 {
		d &^= 1<<(tickShift+6) - 1 // so that some are equal, and at the first instant of a slot
	}
	return m.now + min(d, math.MaxInt64-m.now)
}

func (m *timerModel) step() {
	m.t.Helper()
	i := m.rand.IntN(len(m.timers))
	switch m.rand.IntN(12) {
	case 0:
		m.stop(i)
	case 1:
		m.reach()
	case 2:
		m.expire(m.now - m.rand.Int64N(int64(time.Second))) // a clock that goes back
	case 3, 4, 5:
		d := int64(m.scales[m.rand.IntN(min(4, len(m.scales)))])
		if m.rand.IntN(100) == 0 {
			d = int64(1) << m.rand.IntN(60)
		}
		m.expire(m.now + min(m.rand.Int64N(d), math.MaxInt64-m.now))
	default:
		m.start(i, m.when())
	}
	m.checkNext()
}

func compareModelTimers(a, b modelTimer) int {
	return cmp.Or(cmp.Compare(a.when, b.when), cmp.Compare(a.seq, b.seq))
}
