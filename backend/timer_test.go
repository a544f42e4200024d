package backend

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

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
