package backend

import (
	"cmp"
	"math/bits"
)

// Timer is one timer of a loop. It is a field of the struct that needs it, or allocated once; with Fire set, its zero
// value is ready. Like Timers it belongs to the loop's goroutine. While it is active it must not be copied, and must
// not be given to other Timers.
type Timer struct {
	// Fire is called when the time has come. The timer is no longer active then, and Fire may start it again.
	Fire func()

	when       int64
	seq        uint64 // the sequence number of the Start call; breaks ties of when
	next, prev *Timer // neighbours in a timerList, while far or due
	pos        int32  // far: level<<slotShift | slot; near: index in the heap
	state      timerState
}

// Active reports whether the timer is started and has neither fired nor been stopped.
func (t *Timer) Active() bool { return t.state != timerIdle }

// timerState says which part of Timers holds a timer. Start makes it far, near or late, Stop and Expire make all of
// them idle; advance makes far ones near or far again, and the end of Expire makes late ones near.
type timerState uint8

const (
	timerIdle timerState = iota // in none
	timerFar                    // in a slot of the wheel: its tick is later than Timers.tick, or equal, and it is about to move
	timerNear                   // in the heap: its tick is Timers.tick or earlier
	timerLate                   // in the list of those that Expire must not fire, because it has started them
)

const (
	tickShift  = 20 // a tick is 2^20 ns, 1.05 ms
	slotShift  = 6  // 64 slots to a level, one bit each in a word
	slotMask   = 1<<slotShift - 1
	wheelDepth = 8 // 8*6+20 bits: any int64

	movesPerExpire = 4096 // timers that one Expire moves at most: that takes some 0.3 ms
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
// Expire moves a bounded number of timers, and fires as many as its caller allows. The rest stay where they are, and
// Next says that they are due. A slot of which only a part has been moved is emptied before anything of its time, or
// later, fires: its timers are in no order until then.
//
// One heap for all would be less code. With 100,000 timers the wheel restarts one in 0.55 of its time and fires one in
// 0.7 (BenchmarkTimers).
type Timers struct {
	tick    uint64 // the present: that of the latest Expire, or of the slot that is being emptied
	started uint64 // calls of Start
	n       int
	near    timerHeap
	moving  *timerList // the slot that is being emptied, which begins with tick; nil: none
	firing  bool       // in Expire
	now     int64      // of that Expire
	late    timerList  // empty except during Expire
	most    int        // of tests: instead of movesPerExpire

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
	if w.firing && when <= w.now {
		t.state = timerLate
		w.late.push(t)
		return
	}
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
		if slot.head == nil { // for one that is being emptied, the bit is clear already
			w.occupied[t.pos>>slotShift] &^= 1 << (t.pos & slotMask)
		}
	case timerNear:
		w.near.remove(int(t.pos))
	case timerLate:
		w.late.remove(t)
	}
	t.state = timerIdle
	w.n--
	return true
}

// Next is the time at which Expire has to be called next; ok is false if there is no timer. It is never later than the
// earliest timer, and has passed if the latest Expire has not done everything. It is exactly the earliest timer's if
// that is of the present tick, or alone in its slot; otherwise it may be earlier, and after at most 8 calls of
// Expire(Next()), and one more for each 4096 timers that share a slot, it is exact.
func (w *Timers) Next() (when int64, ok bool) {
	if w.n == 0 {
		return 0, false
	}
	when = 1<<63 - 1
	if len(w.near) > 0 {
		when = w.near[0].when
	}
	for t := w.late.head; t != nil; t = t.next { // in Fire, where nobody need ask
		when = min(when, t.when)
	}
	if w.moving != nil && w.moving.head != nil {
		return min(when, int64(w.tick<<tickShift)), true
	}
	if len(w.near) > 0 || w.late.head != nil {
		return when, true
	}
	pos, start, _ := w.earliest()
	if slot := &w.slots[pos]; slot.head == slot.tail {
		return slot.head.when, true
	}
	return int64(start << tickShift), true
}

// Expire fires timers whose when is now or earlier, in order of when, and of Start for equal ones, and returns how
// many: all of them, unless spent, which is asked before each but the first, reports true, or there were too many to be
// moved; then Next has passed. Fire may start and stop any timer. What it starts does not fire in this Expire, however
// early. If Fire panics, the timers that have not fired stay active. Fire must not call Expire.
func (w *Timers) Expire(now int64, spent func() bool) int {
	limit := now
	if !w.advance(tickOf(now)) { // what is earlier than the slot that is being emptied is in order
		limit = min(now, int64(w.tick<<tickShift)-1)
	}
	w.firing, w.now = true, now
	defer w.fired()
	fired := 0
	for len(w.near) > 0 && w.near[0].when <= limit && (fired == 0 || !spent()) {
		t := w.near[0].t
		w.Stop(t)
		fired++
		t.Fire()
	}
	return fired
}

// fired ends an Expire.
func (w *Timers) fired() {
	w.firing = false
	for t := w.late.head; t != nil; t = w.late.head {
		w.late.remove(t)
		w.place(t)
	}
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

// advance makes to the present tick, and reports whether it could: the present stays at a slot that is not empty after
// all that may be moved. A clock that goes back leaves it where it is.
func (w *Timers) advance(to uint64) bool {
	for moves := cmp.Or(w.most, movesPerExpire); ; {
		if moves = w.empty(moves); w.moving != nil {
			return false
		}
		pos, start, ok := w.earliest()
		if !ok || start > to {
			break
		}
		w.tick = start
		w.occupied[pos>>slotShift] &^= 1 << (pos & slotMask)
		w.moving = &w.slots[pos]
	}
	w.tick = max(w.tick, to)
	return true
}

// empty puts the timers of the slot that the present has reached where they belong by now, at most so many, and returns
// how many more it may move. They keep their seq, and with it their order.
func (w *Timers) empty(moves int) int {
	if w.moving == nil {
		return moves
	}
	for t := w.moving.head; t != nil; t = w.moving.head {
		if moves == 0 {
			return 0
		}
		moves--
		w.moving.remove(t)
		w.place(t)
	}
	w.moving = nil
	return moves
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
