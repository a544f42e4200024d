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
	t      *testing.T
	rand   *rand.Rand
	scales []time.Duration // of durations
	w      Timers
	now    int64
	seq    uint64
	count  int          // of fired timers
	live   []modelTimer // sorted
	due    []modelTimer // while Expire runs: those still to fire
	timers []Timer
}

type modelTimer struct {
	when int64
	seq  uint64
	i    int // in timers
}

func newTimerModel(t *testing.T, seed uint64, n int) *timerModel {
	m := &timerModel{t: t, rand: rand.New(rand.NewPCG(seed, 0)), timers: make([]Timer, n)}
	m.scales = []time.Duration{1, time.Microsecond, 1 << tickShift, time.Second, time.Hour, 24 * 365 * time.Hour}
	if seed%2 == 0 {
		m.scales = m.scales[:2] // most timers are in the heap
	}
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
	m.due = slices.DeleteFunc(m.due, is)
	return len(m.live) < before
}

// fired is Fire of timer i: it must be the first of those due. It sometimes starts and stops others, and itself.
func (m *timerModel) fired(i int) {
	m.t.Helper()
	if len(m.due) == 0 || m.due[0].i != i {
		m.t.Fatalf("timer %d fired at %d, expected the first of %v", i, m.now, m.due)
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

func (m *timerModel) expire(now int64) {
	m.t.Helper()
	m.now = max(m.now, now)
	due, _ := slices.BinarySearchFunc(m.live, modelTimer{when: now, seq: math.MaxUint64}, compareModelTimers)
	m.due = slices.Clone(m.live[:due])
	before := m.count
	n := m.w.Expire(now, never)
	if len(m.due) > 0 {
		m.t.Fatalf("not fired at %d: %v", now, m.due)
	}
	if fired := m.count - before; n != fired {
		m.t.Fatalf("Expire returned %d, fired %d", n, fired)
	}
}

// reach goes from Next to Next until the earliest timer has fired.
func (m *timerModel) reach() {
	m.t.Helper()
	if len(m.live) == 0 {
		return
	}
	earliest := m.live[0]
	for range 10 {
		next := m.checkNext()
		m.expire(max(next, m.now))
		if next == earliest.when {
			return
		}
	}
	m.t.Fatalf("timer at %d is not reached in 10 steps", earliest.when)
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
	if ok && !m.w.firing && tickOf(m.live[0].when) <= m.w.tick && next != m.live[0].when {
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
			t.Run(fmt.Sprintf("seed=%d/timers=%d", seed, n), func(t *testing.T) {
				m := newTimerModel(t, seed, n)
				for range 2000 {
					m.step()
				}
				checkTimers(t, &m.w)
				for m.w.Len() > 0 && m.now < math.MaxInt64 {
					m.reach()
				}
				checkTimers(t, &m.w)
			})
		}
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

func TestTimerAllocs(t *testing.T) {
	l := newTimerLoad(new(Timers), 1000, time.Second)
	run := func() {
		for range 1000 {
			l.restart()
		}
		for range 100 {
			l.expire()
		}
	}
	for range 100 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func never() bool { return false }

// heapTimers is what Timers would be as one heap, for comparison.
type heapTimers struct {
	heap timerHeap
	seq  uint64
}

func (q *heapTimers) Start(t *Timer, when int64) {
	q.Stop(t)
	q.seq++
	t.when, t.seq, t.state = when, q.seq, timerNear
	q.heap.push(t)
}

func (q *heapTimers) Stop(t *Timer) bool {
	if t.state == timerIdle {
		return false
	}
	q.heap.remove(int(t.pos))
	t.state = timerIdle
	return true
}

func (q *heapTimers) Next() (int64, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].when, true
}

func (q *heapTimers) Expire(now int64, _ func() bool) int {
	last, fired := q.seq, 0
	for len(q.heap) > 0 && q.heap[0].when <= now && q.heap[0].seq <= last {
		t := q.heap[0].t
		q.Stop(t)
		fired++
		t.Fire()
	}
	return fired
}

type timerQueue interface {
	Start(t *Timer, when int64)
	Stop(t *Timer) bool
	Next() (when int64, ok bool)
	Expire(now int64, spent func() bool) int
}

// timerLoad is a loop whose timers are always active: each starts itself again, for spread/2 to spread/2*3.
type timerLoad struct {
	q      timerQueue
	rand   *rand.Rand
	now    int64
	spread int64
	timers []Timer
}

func newTimerLoad(q timerQueue, n int, spread time.Duration) *timerLoad {
	l := &timerLoad{q: q, rand: rand.New(rand.NewPCG(1, 1)), spread: int64(spread), timers: make([]Timer, n)}
	q.Expire(0, never)
	for i := range l.timers {
		l.timers[i].Fire = func() { l.start(i) }
		l.start(i)
	}
	return l
}

func (l *timerLoad) start(i int) {
	l.q.Start(&l.timers[i], l.now+l.spread/2+l.rand.Int64N(l.spread))
}

// restart stops and starts any timer.
func (l *timerLoad) restart() {
	i := l.rand.IntN(len(l.timers))
	l.q.Stop(&l.timers[i])
	l.start(i)
}

// expire sleeps until Next, and returns how many fired.
func (l *timerLoad) expire() int {
	l.now, _ = l.q.Next()
	return l.q.Expire(l.now, never)
}

func BenchmarkTimers(b *testing.B) {
	const live = 100_000
	queues := []struct {
		name string
		make func() timerQueue
	}{
		{"wheel", func() timerQueue { return new(Timers) }},
		{"heap", func() timerQueue { return new(heapTimers) }},
	}
	for _, q := range queues {
		b.Run(q.name+"/same", func(b *testing.B) { benchmarkSame(b, newTimerLoad(q.make(), live, time.Minute)) })
		b.Run(q.name+"/restart", func(b *testing.B) { benchmarkRestart(b, newTimerLoad(q.make(), live, time.Minute)) })
		b.Run(q.name+"/expire", func(b *testing.B) { benchmarkExpire(b, newTimerLoad(q.make(), live, time.Minute)) })
	}
}

// One connection is busy and moves its idle timeout on.
func benchmarkSame(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for b.Loop() {
		l.q.Stop(&l.timers[0])
		l.start(0)
	}
}

// All connections are busy: one restart of any of them each microsecond, and a turn of the loop each 64.
func benchmarkRestart(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for turn := 0; b.Loop(); turn++ {
		l.restart()
		l.now += int64(time.Microsecond)
		if turn%64 == 0 {
			l.q.Next()
			l.q.Expire(l.now, never)
		}
	}
}

// No timer is ever stopped. An operation is one that fires and starts itself again.
func benchmarkExpire(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for fired := 0; b.Loop(); {
		for fired == 0 {
			fired = l.expire()
		}
		fired--
	}
}
