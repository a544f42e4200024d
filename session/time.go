package session

import (
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Timer is a function that waits for its time on a stream's loop.
type Timer struct {
	timer      backend.Timer
	stream     *Stream
	fn         func()
	state      atomic.Uint32
	prev, next *Timer // in the stream's list; the loop's
}

const (
	timerWaits uint32 = iota
	timerFired
	timerStopped
)

// After runs fn on the stream's loop, not before d has passed and as soon after as the loop is free. It does not run
// after OnClose. Any goroutine; it does not block.
func (s *Stream) After(d time.Duration, fn func()) *Timer {
	t := &Timer{stream: s, fn: fn}
	t.timer.Fire = t.fire
	if s.loop.Here() {
		t.start(d)
		return t
	}
	due := s.loop.Clock() + int64(max(d, 0))
	_ = s.loop.Post(backend.TaskFunc(func() { t.start(time.Duration(due - s.loop.Clock())) }))
	return t
}

func (t *Timer) start(d time.Duration) {
	s := t.stream
	if t.state.Load() != timerWaits || s.over() {
		return
	}
	if t.next = s.timers; t.next != nil {
		t.next.prev = t
	}
	s.timers = t
	s.loop.StartTimer(&t.timer, d)
}

func (t *Timer) fire() {
	t.unlink()
	if t.state.CompareAndSwap(timerWaits, timerFired) {
		t.stream.call(t.fn)
	}
}

// Stop keeps the function from running, and reports whether it did: false means that it has run, is running, or was
// stopped before. Any goroutine; it does not block.
func (t *Timer) Stop() bool {
	if !t.state.CompareAndSwap(timerWaits, timerStopped) {
		return false
	}
	if t.stream.loop.Here() {
		t.remove()
	} else {
		_ = t.stream.loop.Post(backend.TaskFunc(t.remove))
	}
	return true
}

func (t *Timer) remove() {
	if t.stream.loop.StopTimer(&t.timer) {
		t.unlink()
	}
}

func (t *Timer) unlink() {
	switch {
	case t.prev != nil:
		t.prev.next = t.next
	case t.stream.timers == t:
		t.stream.timers = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
}

// Post runs fn on the stream's loop, unless the stream has ended before its turn comes. It returns net.ErrClosed if
// the stream has ended already. Any goroutine; it does not block.
func (s *Stream) Post(fn func()) error {
	s.mu.Lock()
	p := s.phase
	s.mu.Unlock()
	if p > closing {
		return net.ErrClosed
	}
	return s.loop.Post(backend.TaskFunc(func() {
		if !s.over() {
			s.call(fn)
		}
	}))
}

// over tells whether no callback may run any longer, apart from OnClose.
func (s *Stream) over() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.phase == closed
}

// idle watches for silence. Traffic moves no timer: it notes the time, and the timer looks at that when it fires.
type idle struct {
	timer   backend.Timer
	timeout time.Duration
	last    int64  // of the loop's clock
	doubt   uint64 // Looks of the loop when the time had run out, and 1; 0: it has not
}

// SetIdleTimeout ends the stream with os.ErrDeadlineExceeded when no byte has come or gone for d. Zero, or less: never.
// Any goroutine; it does not block.
func (s *Stream) SetIdleTimeout(d time.Duration) {
	if !s.loop.Here() {
		_ = s.loop.Post(backend.TaskFunc(func() { s.SetIdleTimeout(d) }))
		return
	}
	s.mu.Lock()
	over := s.phase >= ending
	s.watched = d > 0
	s.mu.Unlock()
	if d <= 0 || over {
		if s.idle != nil {
			s.loop.StopTimer(&s.idle.timer)
			s.idle = nil
		}
		return
	}
	if s.idle == nil {
		s.idle = &idle{}
		s.idle.timer.Fire = s.checkIdle
	}
	s.idle.timeout = d
	s.idle.last = s.loop.Clock()
	s.loop.StartTimer(&s.idle.timer, d)
}

func (s *Stream) checkIdle() {
	s.mu.Lock()
	last := max(s.idle.last, s.direct)
	s.mu.Unlock()
	quiet := time.Duration(s.loop.Clock() - last)
	again := time.Duration(0)
	switch now := s.loop.Looks() + 1; {
	case quiet < s.idle.timeout:
		s.idle.doubt, again = 0, s.idle.timeout-quiet
	case s.idle.doubt == 0:
		s.idle.doubt = now // a loop that was held up has to look whether bytes have come
	case s.idle.doubt == now:
	case s.receiving && backend.HasInput(s.sock.FD):
		again = time.Millisecond // there were too many events for one look
	default:
		s.failed(os.ErrDeadlineExceeded)
		return
	}
	s.loop.StartTimer(&s.idle.timer, again)
}

// active notes that bytes came or went. Loop only.
func (s *Stream) active() {
	if s.idle != nil {
		s.idle.last = s.loop.Clock() // not Now: the turn may have lasted for long
	}
}

// stopTimers ends everything that waits for a time.
func (s *Stream) stopTimers() {
	if s.idle != nil {
		s.loop.StopTimer(&s.idle.timer)
	}
	if s.closer != nil {
		s.loop.StopTimer(s.closer)
	}
	for t := s.timers; t != nil; t = s.timers {
		s.loop.StopTimer(&t.timer)
		t.unlink()
		t.state.CompareAndSwap(timerWaits, timerStopped)
	}
}
