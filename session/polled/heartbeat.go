package polled

import (
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Beat is the result of a heartbeat.
type Beat uint8

// Results of a heartbeat.
const (
	Sent    Beat = iota // it was written
	Skipped             // none was needed
	Failed              // it could not be written, for example for lack of room: the next Drive tries again
)

// String returns the constant's name, in lower case.
func (b Beat) String() string { return nameOf(b, "sent", "skipped", "failed") }

// Heartbeat is a Session that writes something at regular intervals while it is Established, so that the peer knows that
// it is alive. Drive does that; all other methods are those of the Session below.
type Heartbeat[R, W any] struct {
	Session[R, W]

	// Now is the clock, for tests. Nil: time.Now, whose readings are monotonic. Set it before the first Drive.
	Now func() time.Time

	interval time.Duration
	beat     func(Session[R, W]) (Beat, error)
	next     time.Time // when the next beat is due; zero until Drive finds the session Established
}

// NewHeartbeat returns a Session whose Drive calls beat once in each interval. The first interval begins when Drive finds
// the session Established, and each further one when a beat was Sent or Skipped; beats that were missed because nobody
// called Drive are not made up for. beat is passed the Session below, to write to. Its error becomes an error of Drive.
//
// NewHeartbeat panics if inner or beat is nil, or interval is not positive.
func NewHeartbeat[R, W any](inner Session[R, W], interval time.Duration, beat func(Session[R, W]) (Beat, error)) *Heartbeat[R, W] {
	if inner == nil || beat == nil || interval <= 0 {
		panic("polled: NewHeartbeat without a Session, a beat function or an interval")
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

// Detach returns the connection as a net.Conn, as MessageSession.Detach does, and ends the session.
func (h *Heartbeat[R, W]) Detach() (net.Conn, error) { return h.detachWith(nil, nil) }

// detachWith implements detacher.
func (h *Heartbeat[R, W]) detachWith(unread, unsent []byte) (net.Conn, error) {
	return detachBelow(h.Session, unread, unsent)
}

// TLS returns what the Session below knows of TLS, and false if that is nothing.
func (h *Heartbeat[R, W]) TLS() (session.TLSState, bool) { return tlsBelow(h.Session) }

// CloseInStages is Close for a peer that may still be sending, if the Session below supports that.
func (h *Heartbeat[R, W]) CloseInStages() error { return closeBelow(h.Session) }

func clock(now func() time.Time) time.Time {
	if now == nil {
		return backend.SystemClock{}.Now()
	}
	return now()
}
