package backend

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
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

// checkTimers verifies everything that Timers says of itself.
func checkTimers(t *testing.T, w *Timers) {
	t.Helper()
	n := len(w.near)
	for pos := range w.slots {
		level, slot := pos>>slotShift, pos&slotMask
		list := &w.slots[pos]
		if (list.head != nil) != (w.occupied[level]>>slot&1 == 1) || (list.head == nil) != (list.tail == nil) {
			t.Fatalf("slot %d of level %d: bit and list differ", slot, level)
		}
		var prev *Timer
		for tm := list.head; tm != nil; prev, tm = tm, tm.next {
			n++
			tick := tickOf(tm.when)
			high := bits.Len64(tick ^ w.tick)
			if tick <= w.tick || (high-1)/slotShift != level || int(tick>>(level*slotShift)&slotMask) != slot {
				t.Fatalf("a timer of tick %d in slot %d of level %d at tick %d", tick, slot, level, w.tick)
			}
			if tm.state != timerFar || int(tm.pos) != pos || tm.prev != prev {
				t.Fatalf("slot %d of level %d: links, pos or state", slot, level)
			}
		}
		if list.tail != prev {
			t.Fatalf("slot %d of level %d: tail", slot, level)
		}
	}
	for i, e := range w.near {
		if e.t.state != timerNear || int(e.t.pos) != i || e.when != e.t.when || tickOf(e.when) > w.tick {
			t.Fatalf("entry %d of the heap", i)
		}
		if i > 0 && e.before(&w.near[(i-1)/4]) {
			t.Fatalf("entry %d of the heap is before its parent", i)
		}
	}
	for _, e := range w.near[len(w.near):cap(w.near)] {
		if e.t != nil {
			t.Fatal("the heap refers to a timer that is not in it")
		}
	}
	if w.late.head != nil || w.moving != nil || w.firing || n != w.n {
		t.Fatalf("late %v, moving %v, %d timers found, Len %d", w.late.head, w.moving, n, w.n)
	}
}

func TestTimerModel(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3, 4, 5, 6, 7, rand.Uint64()} {
		for _, n := range []int{1, 3, 20, 300} {
			for _, moves := range []int{0, 2} {
				t.Run(fmt.Sprintf("seed=%d/timers=%d/moves=%d", seed, n, moves), func(t *testing.T) {
					m := newTimerModel(t, seed, n, moves)
					for range 2000 {
						m.step()
					}
					m.expire(m.now)
					checkTimers(t, &m.w)
					for m.w.Len() > 0 && m.now < math.MaxInt64 {
						m.reach()
					}
					checkTimers(t, &m.w)
				})
			}
		}
	}
}

// However many timers share a slot, one Expire moves a bounded number of them. They fire in order, and none early.
func TestTimerManyInASlot(t *testing.T) {
	const n, width = 50_000, int64(1) << (tickShift + 2*slotShift)
	var w Timers
	var now, last int64
	fired := 0
	for i := range int64(n) {
		tm := &Timer{}
		when := 5*width + i*7919%width
		tm.Fire = func() {
			fired++
			if when > now || when < last {
				t.Fatalf("the timer of %d fires at %d, behind that of %d", when, now, last)
			}
			last = when
		}
		w.Start(tm, when)
	}
	now = 6 * width
	calls := 0
	for next, ok := w.Next(); ok; next, ok = w.Next() {
		if next > now {
			t.Fatalf("Next is %d, and %d timers have not fired at %d", next, w.Len(), now)
		}
		before := len(w.near)
		w.Expire(now, func() bool { return fired%100 == 0 })
		if moved := len(w.near) - before; moved > movesPerExpire {
			t.Fatalf("%d timers were moved at once", moved)
		}
		calls++
	}
	if fired != n || calls < n/100 {
		t.Fatalf("%d fired, in %d calls", fired, calls)
	}
	checkTimers(t, &w)
}

// What Expire has no time for is due in the next one, in order, and before what was started meanwhile for later.
func TestTimerExpireInParts(t *testing.T) {
	var w Timers
	var got []int
	for i := range 5 {
		var tm Timer
		tm.Fire = func() {
			got = append(got, i)
			if i == 1 {
				w.Start(&Timer{Fire: func() { got = append(got, 100) }}, 50)
			}
		}
		w.Start(&tm, 10)
	}
	for _, want := range []int{2, 2, 2} {
		asked := 0
		if n := w.Expire(100, func() bool { asked++; return asked == 2 }); n != want {
			t.Fatalf("%d fired, want %d; in all %v", n, want, got)
		}
	}
	if !slices.Equal(got, []int{0, 1, 2, 3, 4, 100}) || w.Len() != 0 {
		t.Fatalf("fired were %v", got)
	}
}

func TestTimerExtremes(t *testing.T) {
	whens := []int64{
		math.MinInt64, -1, 0, 1, 1<<tickShift - 1, 1 << tickShift, int64(time.Second), int64(time.Hour),
		int64(100 * 365 * 24 * time.Hour), math.MaxInt64 - 1, math.MaxInt64,
	}
	var w Timers
	fired := 0
	for _, when := range whens {
		w.Start(&Timer{Fire: func() { fired++ }}, when)
	}
	for i, when := range whens {
		if when > math.MinInt64 {
			if w.Expire(when-1, never); fired != i {
				t.Fatalf("%d fired before %d, want %d", fired, when, i)
			}
		}
		if w.Expire(when, never); fired != i+1 {
			t.Fatalf("%d fired at %d, want %d", fired, when, i+1)
		}
		checkTimers(t, &w)
	}
	if _, ok := w.Next(); ok || w.Len() != 0 {
		t.Fatalf("Next ok=%v, Len %d at the end", ok, w.Len())
	}
}

// The sleep of a loop with one timer is not interrupted on the way to it.
func TestTimerNextOfOne(t *testing.T) {
	var w Timers
	tm := Timer{Fire: func() {}}
	for shift := range 63 {
		want := int64(1)<<shift + 3
		w.Start(&tm, want)
		if next, ok := w.Next(); !ok || next != want {
			t.Fatalf("Next %d %v, want %d", next, ok, want)
		}
	}
}

func TestTimerFireStopsAnother(t *testing.T) {
	var w Timers
	var other Timer
	first := Timer{Fire: func() {
		if !w.Stop(&other) || w.Stop(&other) {
			t.Error("Stop of a due timer")
		}
	}}
	other.Fire = func() { t.Error("fired after Stop") }
	w.Start(&first, 10)
	w.Start(&other, 20)
	if n := w.Expire(30, never); n != 1 {
		t.Errorf("%d fired, want 1", n)
	}
	checkTimers(t, &w)
}

func TestTimerFireRestarts(t *testing.T) {
	var w Timers
	var itself, other Timer
	itself.Fire = func() {
		w.Start(&itself, 0)
		w.Start(&other, 0)
	}
	other.Fire = func() {}
	w.Start(&itself, 10)
	w.Start(&other, 20)
	if n := w.Expire(30, never); n != 1 {
		t.Errorf("%d fired, want the first alone: both were restarted", n)
	}
	if next, ok := w.Next(); !ok || next != 0 {
		t.Errorf("Next %d %v, want 0", next, ok)
	}
	if n := w.Expire(30, never); n != 1 || w.Len() != 2 {
		t.Errorf("%d fired, %d left, want 1 and 2", n, w.Len())
	}
	checkTimers(t, &w)
}

func TestTimerFirePanics(t *testing.T) {
	var w Timers
	var got []int
	timers := make([]Timer, 5)
	for i := range timers {
		timers[i].Fire = func() {
			got = append(got, i)
			if i == 1 {
				panic("fire")
			}
		}
		w.Start(&timers[i], 100)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		w.Expire(1000, never)
	}()
	checkTimers(t, &w)
	if next, ok := w.Next(); !ok || next != 100 || w.Len() != 3 {
		t.Errorf("Next %d %v, Len %d after the panic", next, ok, w.Len())
	}
	if n := w.Expire(1000, never); n != 3 || !slices.Equal(got, []int{0, 1, 2, 3, 4}) {
		t.Errorf("%d fired after the panic, in all %v", n, got)
	}
	checkTimers(t, &w)
}

func never() bool { return false }
