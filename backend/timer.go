package backend

import "math/bits"

// Timer is one timer of a loop. It is a field of the struct that needs it, or allocated once; with Fire set, its zero
// value is ready. Like Timers it belongs to the loop's goroutine. While it is active it must not be copied, and must
// not be given to other Timers.
type Timer struct {
	// Fire is called when the time has come. The timer is no longer active then, and Fire may start it again.
	Fire func()

	when       int64
	seq        uint64 // the how-manieth Start this was: orders timers of equal when
	next, prev *Timer // neighbours in a timerList, while far or due
	pos        int32  // far: level<<slotShift | slot; near: index in the heap
	state      timerState
}

// Active reports whether the timer is started and has neither fired nor been stopped.
func (t *Timer) Active() bool { return t.state != timerIdle }

// timerState says which part of Timers holds a timer. place makes it far or near, Expire makes near due, Stop makes all
// of them idle; settle moves far and due ones by place again.
type timerState uint8

const (
	timerIdle timerState = iota // in none
	timerFar                    // in a slot of the wheel: its tick is later than Timers.tick
	timerNear                   // in the heap: its tick is Timers.tick or earlier
	timerDue                    // in the list of those that Expire is firing
)

const (
	tickShift  = 20 // a tick is 2^20 ns, 1.05 ms
	slotShift  = 6  // 64 slots to a level, one bit each in a word
	slotMask   = 1<<slotShift - 1
	wheelDepth = 8 // 8*6+20 bits: any int64
)

// Timers are the timers of one loop. The zero value is ready. There are no locks: all methods belong to the loop's
// goroutine. Times are nanoseconds of the loop's monotonic clock, and any int64 is one.
//
// It is a hierarchical timing wheel. A slot of level 0 is one tick, a slot of level n is 64 slots of level n-1. A timer
// is kept at the level of the highest digit, in base 64, in which its tick differs from the present one. When the
// present reaches its slot, it moves to a lower level. So nothing wraps, the lowest bit of the lowest level that is not
// empty is the earliest slot, and a timer moves at most 8 times, whatever its duration.
//
// Timers of the present tick and earlier are in a heap that has their exact order and time: ticks are about how timers
// are kept, never about when they fire. Start and Stop are O(1), for timers in the heap O(log n) of those in it.
//
// One heap for all would be less code. With 100,000 timers the wheel restarts one in 0.55 of its time and fires one in
// 0.7 (BenchmarkTimers). The heap never pauses to move timers: Expire takes 5 ms if 100,000 of them share a slot.
type Timers struct {
	tick    uint64 // the present: that of the latest Expire
	started uint64 // calls of Start
	n       int
	near    timerHeap
	due     timerList // empty except during Expire

	occupied [wheelDepth]uint64 // bit s of word l: slots[l<<slotShift|s] is not empty
	slots    [wheelDepth << slotShift]timerList
}

// Len is the number of active timers.
func (w *Timers) Len() int { return w.n }

// Start makes t fire at when, or in the next Expire if that has passed. It restarts a timer that is active.
func (w *Timers) Start(t *Timer, when int64) {
	w.Stop(t)
	w.started++
	w.n++
	t.when, t.seq = when, w.started
	w.place(t)
}

// Stop makes t inactive and reports whether it was active. It does not fire then, even if it is due already.
func (w *Timers) Stop(t *Timer) bool {
	switch t.state {
	case timerIdle:
		return false
	case timerFar:
		slot := &w.slots[t.pos]
		slot.remove(t)
		if slot.head == nil {
			w.occupied[t.pos>>slotShift] &^= 1 << (t.pos & slotMask)
		}
	case timerNear:
		w.near.remove(int(t.pos))
	case timerDue:
		w.due.remove(t)
	}
	t.state = timerIdle
	w.n--
	return true
}

// Next is the time at which Expire has to be called next; ok is false if there is no timer. It is never later than the
// earliest timer. It is exactly that if the timer is of the present tick, or alone in its slot; otherwise it may be
// earlier, and after at most 8 calls of Expire(Next()) it is exact.
func (w *Timers) Next() (when int64, ok bool) {
	due := w.due.head
	if len(w.near) > 0 {
		when = w.near[0].when
		if due != nil {
			when = min(when, due.when)
		}
		return when, true
	}
	if due != nil {
		return due.when, true
	}
	pos, start, ok := w.earliest()
	if !ok {
		return 0, false
	}
	if slot := &w.slots[pos]; slot.head == slot.tail {
		return slot.head.when, true
	}
	return int64(start << tickShift), true
}

// Expire fires every timer whose when is now or earlier, in order of when, and of Start for equal ones, and returns how
// many. Fire may start and stop any timer. What it starts does not fire in this Expire, however early. If it panics,
// the timers that are due and have not fired stay active. Fire must not call Expire.
func (w *Timers) Expire(now int64) int {
	w.advance(tickOf(now))
	for len(w.near) > 0 && w.near[0].when <= now {
		t := w.near[0].t
		w.near.remove(0)
		t.state = timerDue
		w.due.push(t)
	}
	defer w.settle(&w.due)
	fired := 0
	for t := w.due.head; t != nil; t = w.due.head {
		w.Stop(t)
		fired++
		t.Fire()
	}
	return fired
}

// place puts a timer that is in no list where its tick belongs.
func (w *Timers) place(t *Timer) {
	tick := tickOf(t.when)
	if tick <= w.tick {
		t.state = timerNear
		w.near.push(t)
		return
	}
	level := (bits.Len64(tick^w.tick) - 1) / slotShift
	slot := tick >> (level * slotShift) & slotMask
	t.state = timerFar
	t.pos = int32(level<<slotShift | int(slot))
	w.occupied[level] |= 1 << slot
	w.slots[t.pos].push(t)
}

// earliest finds the slot that begins first, and the tick with which it begins.
func (w *Timers) earliest() (pos int, start uint64, ok bool) {
	for level, occupied := range w.occupied {
		if occupied == 0 {
			continue
		}
		slot := bits.TrailingZeros64(occupied)
		shift := level * slotShift
		start = w.tick>>(shift+slotShift)<<(shift+slotShift) | uint64(slot)<<shift
		return level<<slotShift | slot, start, true
	}
	return 0, 0, false
}

// advance makes to the present tick. A clock that goes back leaves it where it is.
func (w *Timers) advance(to uint64) {
	for {
		pos, start, ok := w.earliest()
		if !ok || start > to {
			break
		}
		w.tick = start
		w.occupied[pos>>slotShift] &^= 1 << (pos & slotMask)
		w.settle(&w.slots[pos])
	}
	w.tick = max(w.tick, to)
}

// settle puts the timers of l where they belong by now: those of a slot that the present has reached, and those that a
// panic of Fire has left due. They keep their seq, and with it their order.
func (w *Timers) settle(l *timerList) {
	for t := l.head; t != nil; t = l.head {
		l.remove(t)
		w.place(t)
	}
}

// tickOf is the tick that when is in. Times before zero count to tick 0, where the heap tells them apart.
func tickOf(when int64) uint64 { return uint64(max(when, 0)) >> tickShift }

// timerList is a list that runs through its timers.
type timerList struct {
	head, tail *Timer
}

func (l *timerList) push(t *Timer) {
	if t.prev = l.tail; t.prev == nil {
		l.head = t
	} else {
		t.prev.next = t
	}
	l.tail = t
}

func (l *timerList) remove(t *Timer) {
	if t.prev == nil {
		l.head = t.next
	} else {
		t.prev.next = t.next
	}
	if t.next == nil {
		l.tail = t.prev
	} else {
		t.next.prev = t.prev
	}
	t.next, t.prev = nil, nil
}

// timerHeap is a heap with four children to a node that tells its timers where they are. Its memory is kept.
type timerHeap []timerEntry

// timerEntry holds what is compared, so that comparing does not touch the timers.
type timerEntry struct {
	when int64
	seq  uint64
	t    *Timer
}

func (e *timerEntry) before(f *timerEntry) bool {
	return e.when < f.when || e.when == f.when && e.seq < f.seq
}

func (h *timerHeap) push(t *Timer) {
	e := timerEntry{t.when, t.seq, t}
	*h = append(*h, e)
	h.up(len(*h)-1, e)
}

func (h *timerHeap) remove(i int) {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = timerEntry{} // refer to no timer that is not active
	*h = (*h)[:last]
	switch {
	case i == last:
	case i > 0 && e.before(&(*h)[(i-1)/4]):
		h.up(i, e)
	default:
		h.down(i, e)
	}
}

// up puts e into the hole i, or above.
func (h timerHeap) up(i int, e timerEntry) {
	for i > 0 {
		parent := (i - 1) / 4
		if !e.before(&h[parent]) {
			break
		}
		h.set(i, h[parent])
		i = parent
	}
	h.set(i, e)
}

// down puts e into the hole i, or below.
func (h timerHeap) down(i int, e timerEntry) {
	for {
		first := 4*i + 1
		if first >= len(h) {
			break
		}
		least := first
		for c := first + 1; c < min(first+4, len(h)); c++ {
			if h[c].before(&h[least]) {
				least = c
			}
		}
		if !h[least].before(&e) {
			break
		}
		h.set(i, h[least])
		i = least
	}
	h.set(i, e)
}

func (h timerHeap) set(i int, e timerEntry) {
	h[i] = e
	e.t.pos = int32(i)
}
