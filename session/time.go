package session

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Timer is a function that waits for its time on a loop.
type Timer struct {
	timer      backend.Timer
	loop       *loop
	stream     *Stream // nil: it is the loop's own
	fn         func()
	every      int64 // period in nanoseconds, 0: once
	due        int64 // on the loop's clock
	state      atomic.Uint32
	prev, next *Timer // in the list of the stream, or of the loop; the loop's
}

const (
	timerWaits uint32 = iota
	timerFired
	timerStopped
)

// After runs fn on the stream's loop, not before d has passed and as soon after as the loop is free. It does not run
// before OnOpen has returned, nor after OnClose. fn must not be nil. Any goroutine; it does not block.
func (s *Stream) After(d time.Duration, fn func()) *Timer { return s.newTimer(d, 0, fn) }

// Every runs fn on the stream's loop every d, first in d, until it is stopped or the stream ends. The times do not
// drift; those that were missed because the loop was busy are dropped. d must be positive, and fn not nil. Any
// goroutine; it does not block.
func (s *Stream) Every(d time.Duration, fn func()) *Timer {
	if d <= 0 {
		panic("tandem: Every: the period must be positive")
	}
	return s.newTimer(d, int64(d), fn)
}

func (s *Stream) newTimer(d time.Duration, every int64, fn func()) *Timer {
	if fn == nil {
		panic("tandem: a timer without a function")
	}
	t := &Timer{loop: s.loop, stream: s, fn: fn, every: every}
	_ = t.begin(d)
	return t
}

// begin has t fire in d. The error is for a loop that has ended.
func (t *Timer) begin(d time.Duration) error {
	t.timer.Fire = t.fire
	t.due = later(t.loop.Clock(), d)
	if t.loop.OnLoop() {
		t.start()
		return nil
	}
	return t.loop.Post(backend.TaskFunc(t.start))
}

// list is where the first of the timers is kept among which t is.
func (t *Timer) list() **Timer {
	if t.stream == nil {
		return &t.loop.timers
	}
	return &t.stream.needs().timers
}

// later is d after now, and the end of time rather than an overflow.
func later(now int64, d time.Duration) int64 {
	if d <= 0 {
		return now
	}
	if when := now + int64(d); when > 0 {
		return when
	}
	return 1<<63 - 1
}

func (t *Timer) start() {
	s := t.stream
	switch {
	case t.state.Load() != timerWaits:
		return
	case s == nil && t.loop.timersOver:
		t.state.CompareAndSwap(timerWaits, timerStopped)
		return
	case s != nil && s.isClosed():
		return
	}
	head := t.list()
	if t.next = *head; t.next != nil {
		t.next.prev = t
	}
	*head = t
	if s == nil || s.running {
		t.rearm()
	}
}

func (t *Timer) rearm() { t.loop.StartTimer(&t.timer, time.Duration(t.due-t.loop.Clock())) }

// startTimers starts those that have waited for OnOpen, in the order in which they were made.
func (s *Stream) startTimers() {
	last := s.seldom().timers
	for last != nil && last.next != nil {
		last = last.next
	}
	for t := last; t != nil; t = t.prev {
		t.rearm()
	}
}

func (t *Timer) fire() {
	if t.stream != nil && t.stream.aborted() {
		t.unlink()
		t.state.CompareAndSwap(timerWaits, timerStopped)
		return
	}
	if t.every > 0 {
		if t.state.Load() != timerWaits {
			return
		}
		missed := max(t.loop.Clock()-t.due, 0) / t.every
		t.due += (missed + 1) * t.every
		t.rearm()
		t.call(every)
		return
	}
	t.unlink()
	if t.state.CompareAndSwap(timerWaits, timerFired) {
		t.call(after)
	}
}

func (t *Timer) call(what callback) {
	if t.stream == nil {
		t.loop.call(what, t.fn)
		return
	}
	t.stream.call(what, t.fn)
}

// Stop keeps the function from running, and reports whether it did: false means that it has run, is running, or was
// stopped before; of Every, that it was stopped before or its stream or loop has ended. Any goroutine; it does not block.
func (t *Timer) Stop() bool {
	if !t.state.CompareAndSwap(timerWaits, timerStopped) {
		return false
	}
	if t.loop.OnLoop() {
		t.remove()
	} else {
		_ = t.loop.Post(backend.TaskFunc(t.remove))
	}
	return true
}

func (t *Timer) remove() {
	t.loop.StopTimer(&t.timer)
	t.unlink()
}

// unlink takes the timer off its list, if it is there.
func (t *Timer) unlink() {
	switch head := t.list(); {
	case t.prev != nil:
		t.prev.next = t.next
	case *head == t:
		*head = t.next
	default:
		return
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}

// stopTimers ends everything that waits for a time.
func (s *Stream) stopTimers() {
	own := s.own
	if own == nil {
		return
	}
	if own.idle != nil {
		s.loop.StopTimer(&own.idle.timer)
	}
	if own.closer != nil {
		s.loop.StopTimer(&own.closer.timer)
	}
	for _, t := range [...]*backend.Timer{own.stuck, own.message} {
		if t != nil {
			s.loop.StopTimer(t)
		}
	}
	endTimers(&own.timers)
}

// endTimers stops all timers of a list.
func endTimers(list **Timer) {
	for t := *list; t != nil; t = *list {
		t.remove()
		t.state.CompareAndSwap(timerWaits, timerStopped)
	}
}

// isClosed reports whether no callback may run any longer, apart from OnClose.
func (s *Stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase == closed
}

// aborted reports whether Abort was called, or the stream ends with a reset of its own: no timer may run any longer.
func (s *Stream) aborted() bool {
	if !s.rx.refuses() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.reset || s.life.silent
}

// idle watches for silence. Traffic moves no timer: it notes the time, and the timer looks at that when it fires.
type idle struct {
	timer backend.Timer
	both  time.Duration // bytes in either direction keep the stream; 0: off
	read  time.Duration // bytes from the peer do; 0: off
	half  time.Duration // HalfCloseTimeout, once one side has finished; 0: off
	in    int64         // when bytes came last, of the loop's clock
	out   int64         // when bytes went out last
	doubt uint64        // Polls of the loop when the time had run out, and 1; 0: it has not
}

// SetIdleTimeout ends the stream with os.ErrDeadlineExceeded when no byte has come or gone for d. Zero, or less: never.
// Set before OnOpen, it holds from OnOpen on. Any goroutine; it does not block.
func (s *Stream) SetIdleTimeout(d time.Duration) {
	s.setIdle(func(i *idle) { i.both = max(d, 0) })
}

// SetReadIdleTimeout ends the stream with os.ErrDeadlineExceeded when no byte has come for d, whatever goes out. Zero,
// or less: never. Set before OnOpen, it holds from OnOpen on. Any goroutine; it does not block.
func (s *Stream) SetReadIdleTimeout(d time.Duration) {
	s.setIdle(func(i *idle) { i.read = max(d, 0) })
}

func (s *Stream) setIdle(change func(*idle)) {
	if !s.loop.OnLoop() {
		_ = s.loop.Post(backend.TaskFunc(func() { s.setIdle(change) }))
		return
	}
	if s.isClosed() {
		return
	}
	own := s.needs()
	if own.idle == nil {
		own.idle = &idle{both: s.opts.IdleTimeout, read: s.opts.ReadIdleTimeout}
		own.idle.timer.Fire = s.checkIdle
	}
	change(own.idle)
	if s.running {
		s.restartIdle()
	}
}

// startIdle follows OnOpen.
func (s *Stream) startIdle() {
	set := s.seldom().idle != nil
	if !set && (s.opts.IdleTimeout > 0 || s.opts.ReadIdleTimeout > 0) {
		s.setIdle(func(*idle) {})
	} else if set {
		s.restartIdle()
	}
}

// halfClosed follows the end of one direction, the other being open still.
func (s *Stream) halfClosed() {
	d, i := s.opts.HalfCloseTimeout, s.seldom().idle
	if d > 0 && (i == nil || i.half == 0) {
		s.setIdle(func(i *idle) { i.half = d })
	}
}

// restartIdle begins to count anew.
func (s *Stream) restartIdle() {
	i := s.own.idle
	next := i.next()
	s.mu.Lock()
	over := s.life.phase >= ending
	s.tx.watched = next > 0
	s.mu.Unlock()
	i.in, i.out, i.doubt = s.loop.Clock(), s.loop.Clock(), 0
	if next == 0 || over {
		s.loop.StopTimer(&i.timer)
		return
	}
	s.loop.StartTimer(&i.timer, next)
}

// next is the shortest of the times that are set.
func (i *idle) next() time.Duration {
	least := time.Duration(0)
	for _, d := range [...]time.Duration{i.both, i.read, i.half} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

// left is how long it takes until one of the times runs out, if nothing moves.
func (i *idle) left(now, out int64) time.Duration {
	least := time.Duration(1<<63 - 1)
	either := max(i.in, out)
	if i.both > 0 {
		least = min(least, i.both-time.Duration(now-either))
	}
	if i.half > 0 {
		least = min(least, i.half-time.Duration(now-either))
	}
	if i.read > 0 {
		least = min(least, i.read-time.Duration(now-i.in))
	}
	return least
}

func (s *Stream) checkIdle() {
	i := s.own.idle
	if c := s.own.closer; c != nil && c.lasts != 0 {
		return // the last stage has times of its own
	}
	s.mu.Lock()
	out := max(i.out, s.tx.last)
	s.mu.Unlock()
	again := i.left(s.loop.Clock(), out)
	switch looks := s.loop.Polls() + 1; {
	case again > 0:
		i.doubt = 0
	case i.doubt == 0:
		i.doubt = looks // a loop that was held up has to look whether bytes have come
	case i.doubt == looks:
	case s.rx.receiving && s.loop.Sockets.HasInput(s.sock.Descriptor):
		again = max(i.next()/8, time.Millisecond) // there were too many events for one look
	default:
		s.failed(os.ErrDeadlineExceeded)
		return
	}
	s.loop.StartTimer(&i.timer, again)
}

// came notes that n bytes came, went that bytes went out. Loop only.
func (s *Stream) came(n int) {
	s.loop.stamp() // which a callback for them would do, too
	s.rx.last.Store(s.loop.at)
	s.rx.received.Store(s.rx.received.Load() + uint64(n)) // cheaper than Add, and nobody else stores
	if s.own != nil && s.own.idle != nil {
		s.own.idle.in = s.loop.Clock() // not the time of the turn: it may have lasted for long
	}
}

func (s *Stream) went() {
	if s.own != nil && s.own.idle != nil {
		s.own.idle.out = s.loop.Clock()
	}
}
