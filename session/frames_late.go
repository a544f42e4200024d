package session

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// lateness watches that a message that has begun is whole in time. Messages move no timer: the time at which one began
// is noted, and the timer looks at that when it fires.
type lateness struct {
	stream  *Stream
	timeout time.Duration
	since   int64  // when the present message began, on the loop's clock; 0: none has
	doubt   uint64 // Looks of the loop when the time had run out, and 1; 0: it has not
}

func (l *lateness) begin(s *Stream, timeout time.Duration) {
	l.stream, l.timeout = s, timeout
	if s.message != nil {
		s.loop.StopTimer(s.message) // of another handler
		s.message = nil
	}
}

// waits notes that a part of a message has come.
func (l *lateness) waits() {
	if l.timeout == 0 || l.since != 0 {
		return
	}
	s := l.stream
	l.since, l.doubt = s.loop.Clock(), 0
	if s.message == nil {
		s.message = &backend.Timer{Fire: l.look}
	}
	if !s.message.Active() {
		s.loop.StartTimer(s.message, l.timeout)
	}
}

func (l *lateness) look() {
	s, now := l.stream, l.stream.loop.Clock()
	again := time.Duration(0)
	switch looks := s.loop.Looks() + 1; {
	case l.since == 0:
		return // the message is whole, and no other has begun
	case s.stops() != 0 || s.full || s.tight:
		l.since, l.doubt, again = now, 0, l.timeout // the stream does not read
	case time.Duration(now-l.since) < l.timeout:
		l.doubt, again = 0, l.timeout-time.Duration(now-l.since)
	case l.doubt == 0:
		l.doubt = looks // a loop that was held up has to look whether bytes have come
	case l.doubt == looks:
	case s.receiving && backend.HasInput(s.sock.FD):
		again = max(l.timeout/8, time.Millisecond) // there were too many events for one look
		l.doubt = 0
		if time.Duration(now-l.since) >= 2*l.timeout { // it drips, however often it is looked at
			l.expire()
			return
		}
	default:
		l.expire()
		return
	}
	s.loop.StartTimer(s.message, again)
}

func (l *lateness) expire() {
	l.stream.failed(fmt.Errorf("tandem: a message was not whole within %v: %w", l.timeout, os.ErrDeadlineExceeded))
}
