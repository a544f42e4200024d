package session

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// lateness watches that a message that has begun is whole in time. Messages move no timer: the time at which one began
// is noted, and the timer looks at that when it fires. Nil is no limit.
type lateness struct {
	stream  *Stream
	timeout time.Duration
	since   int64  // when the present message began, on the loop's clock; 0: none has
	due     int64  // when the timer is to fire
	doubt   uint64 // Polls of the loop when the time had run out, and 1; 0: it has not
}

// newLateness makes the lateness of a stream, and ends that of another handler.
func newLateness(s *Stream, timeout time.Duration) *lateness {
	s.endMessageTimer()
	if timeout == 0 {
		return nil
	}
	return &lateness{stream: s, timeout: timeout}
}

// endMessageTimer stops the timer of the handler that the stream had.
func (s *Stream) endMessageTimer() {
	if t := s.seldom().message; t != nil {
		s.loop.StopTimer(t)
		s.own.message = nil
	}
}

// waits notes that a part of a message has come.
func (l *lateness) waits() {
	if l == nil || l.since != 0 {
		return
	}
	l.begin()
}

// whole notes that there is no message that has begun.
func (l *lateness) whole() {
	if l != nil {
		l.since = 0
	}
}

// goesOn begins to count anew: the stream did not read, and now it does.
func (l *lateness) goesOn() {
	if l != nil && l.since != 0 {
		l.begin()
	}
}

func (l *lateness) begin() {
	s := l.stream
	l.since, l.doubt = s.loop.Clock(), 0
	if own := s.needs(); own.message == nil {
		own.message = &backend.Timer{Fire: l.look}
	}
	if !s.own.message.Active() {
		l.start(l.timeout)
	}
}

func (l *lateness) start(d time.Duration) {
	l.due = later(l.stream.loop.Clock(), d)
	l.stream.loop.StartTimer(l.stream.own.message, d)
}

func (l *lateness) look() {
	s, now := l.stream, l.stream.loop.Clock()
	left := l.timeout - time.Duration(now-l.since)
	switch looks := s.loop.Polls() + 1; {
	case l.since == 0:
		return // the message is whole, and no other has begun
	case s.stops() != 0 || s.rx.flow.Load()&flowResumed != 0:
		return // goesOn follows
	case time.Duration(now-l.due) > max(l.timeout/4, 10*time.Millisecond):
		l.since, l.doubt, left = now, 0, l.timeout // somebody has held up the loop, and it is not the peer's fault
	case left > 0:
		l.doubt = 0
	case l.doubt == 0:
		l.doubt = looks // the loop has to look whether bytes have come
	case l.doubt == looks:
	case left > -l.timeout && (s.rx.waiting() || s.rx.receiving && s.loop.Sockets.HasInput(s.sock.Descriptor)):
		l.doubt, left = 0, max(l.timeout/8, time.Millisecond) // there were too many events for one look
	default:
		s.closeWith(fmt.Errorf("tandem: a message was not whole within %v: %w", l.timeout, os.ErrDeadlineExceeded), true)
		return
	}
	l.start(left)
}
