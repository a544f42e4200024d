package sessiontest

import (
	"net"

	"github.com/tandem-io/tandem/session/polled"
)

// Script is a Session with scripted results. Each call takes the first entry of its queue. When the queue is empty, the
// Session is Established and Idle, has nothing to read, and takes every Write.
type Script[R, W any] struct {
	Statuses []polled.Status
	Drives   []Drive
	Reads    []Read[R]
	Writes   []Write[W]
	Flushes  []error

	Written []W  // arguments of the calls of Write that returned Success, in order
	Drove   int  // number of calls of Drive
	Closed  bool // whether Close was called: every method returns net.ErrClosed then
}

// Drive is the result of one call of Drive.
type Drive struct {
	Activity polled.Activity
	Err      error
}

// Read is the result of one call of Read.
type Read[R any] struct {
	Data   R
	Status polled.ReadStatus
	Err    error
}

// Write is the result of one call of Write.
type Write[W any] struct {
	Rest   W
	Status polled.WriteStatus
	Err    error
}

// next removes and returns the first entry of a queue.
func next[T any](queue *[]T) (first T, ok bool) {
	if len(*queue) == 0 {
		return first, false
	}
	first, *queue = (*queue)[0], (*queue)[1:]
	return first, true
}

// Status implements polled.Session.
func (s *Script[R, W]) Status() polled.Status {
	if s.Closed {
		return polled.Terminated
	}
	if status, ok := next(&s.Statuses); ok {
		return status
	}
	return polled.Established
}

// Drive implements polled.Session.
func (s *Script[R, W]) Drive() (polled.Activity, error) {
	s.Drove++
	if s.Closed {
		return polled.Idle, net.ErrClosed
	}
	d, _ := next(&s.Drives)
	return d.Activity, d.Err
}

// Read implements polled.Session.
func (s *Script[R, W]) Read() (R, polled.ReadStatus, error) {
	if s.Closed {
		var none R
		return none, polled.None, net.ErrClosed
	}
	r, _ := next(&s.Reads)
	return r.Data, r.Status, r.Err
}

// Write implements polled.Session.
func (s *Script[R, W]) Write(w W) (W, polled.WriteStatus, error) {
	if s.Closed {
		return w, polled.Pending, net.ErrClosed
	}
	answer, _ := next(&s.Writes)
	if answer.Err == nil && answer.Status == polled.Success {
		s.Written = append(s.Written, w)
	}
	return answer.Rest, answer.Status, answer.Err
}

// Flush implements polled.Session.
func (s *Script[R, W]) Flush() error {
	if s.Closed {
		return net.ErrClosed
	}
	err, _ := next(&s.Flushes)
	return err
}

// Close implements polled.Session.
func (s *Script[R, W]) Close() error {
	s.Closed = true
	return nil
}

var _ polled.Session[string, int] = (*Script[string, int])(nil)
