package session

import (
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Beat is what became of a heartbeat.
type Beat uint8

// What a beat can come to.
const (
	Sent    Beat = iota // it was written
	Skipped             // it is not needed now
	Failed              // it could not be written now, such as for want of room: the next Drive tries again
)

// String returns the constant's name, in lower case.
func (b Beat) String() string { return nameOf(b, "sent", "skipped", "failed") }

// Heartbeat is a Session that writes something again and again while it is Established, so that the peer hears of it.
// Drive does that; everything else is the Session's below.
type Heartbeat[R, W any] struct {
	Session[R, W]

	// Now is the clock, for tests. Nil: time.Now, whose readings are monotonic. Set it before the first Drive.
	Now func() time.Time

	interval time.Duration
	beat     func(Session[R, W]) (Beat, error)
	next     time.Time // zero: the first Drive of an established session sets it
}

// NewHeartbeat calls beat in Drive once in each interval, first when one has passed since Drive found the session
// Established. It gets the Session below, for writing to it; its error is an error of Drive. Beats that nobody drove are
// not made up for: the next interval begins with a beat that was Sent or Skipped.
//
// inner and beat must not be nil, and interval must be positive: it panics otherwise.
func NewHeartbeat[R, W any](inner Session[R, W], interval time.Duration, beat func(Session[R, W]) (Beat, error)) *Heartbeat[R, W] {
	if inner == nil || beat == nil || interval <= 0 {
		panic("session: NewHeartbeat without a Session, a beat function or an interval")
	}
	return &Heartbeat[R, W]{Session: inner, interval: interval, beat: beat}
}

// Drive implements Session.
func (h *Heartbeat[R, W]) Drive() (Activity, error) {
	if h.Status() != Established {
		return h.Session.Drive()
	}
	now := clock(h.Now)
	switch {
	case h.next.IsZero():
		h.next = now.Add(h.interval)
	case now.Before(h.next):
	default:
		beat, err := h.beat(h.Session)
		if err != nil {
			return Idle, err
		}
		if beat != Failed {
			h.next = now.Add(h.interval)
			_, err = h.Session.Drive()
			return Active, err
		}
	}
	return h.Session.Drive()
}

// Detach hands on the Session below, as Framed.Detach does, and so ends this one.
func (h *Heartbeat[R, W]) Detach() (net.Conn, error) { return h.detachWith(nil, nil) }

func (h *Heartbeat[R, W]) detachWith(front, rest []byte) (net.Conn, error) {
	return detachBelow(h.Session, front, rest)
}

// CloseInStages is Close for a peer that may still be sending, where the Session below can do that.
func (h *Heartbeat[R, W]) CloseInStages() error { return closeBelow(h.Session) }

func clock(now func() time.Time) time.Time {
	if now == nil {
		return backend.SystemClock{}.Now()
	}
	return now()
}
