package polled

import (
	"fmt"
	"net"
	"os"
	"time"

	"github.com/tandem-io/tandem/session"
)

// Life is a set of signs of life.
type Life uint8

// Signs of life.
const (
	LifeConnect Life = 1 << iota // the session becomes Established
	LifeDrive                    // Drive returns Active
	LifeRead                     // Read returns Data or Buffered
	LifeWrite                    // Write returns Success

	LifeAny Life = LifeConnect | LifeDrive | LifeRead | LifeWrite
)

// Liveness is a Session that fails when there has been no sign of life for too long. Drive then returns an error that is
// os.ErrDeadlineExceeded, and the session is Terminated. The caller closes it.
type Liveness[R, W any] struct {
	Session[R, W]

	// Now is the clock, for tests. Nil: time.Now, whose readings are monotonic. Set it before the first Drive.
	Now func() time.Time

	timeout time.Duration
	signs   Life
	begun   bool      // whether Drive has been called
	last    time.Time // time of the last sign
	was     Status    // status when Drive was called last
	err     error     // why the session has failed; nil: it has not
}

// NewLiveness returns a Session that watches inner from the first Drive on, and fails after a timeout without any of the
// signs. 0 means LifeAny. To detect a peer that is gone use LifeRead alone, which only the peer can cause.
//
// NewLiveness panics if inner is nil or timeout is not positive.
func NewLiveness[R, W any](inner Session[R, W], timeout time.Duration, signs Life) *Liveness[R, W] {
	if inner == nil || timeout <= 0 {
		panic("polled: NewLiveness without a Session or a timeout")
	}
	if signs == 0 {
		signs = LifeAny
	}
	return &Liveness[R, W]{Session: inner, timeout: timeout, signs: signs}
}

// sign records a sign of life, if it is one that counts.
func (l *Liveness[R, W]) sign(of Life) {
	if l.signs&of != 0 {
		l.last = clock(l.Now)
	}
}

// Drive implements Session.
func (l *Liveness[R, W]) Drive() (Activity, error) {
	if l.err != nil {
		return Idle, l.err
	}
	if !l.begun {
		l.begun, l.last, l.was = true, clock(l.Now), l.Session.Status()
	}
	activity, err := l.Session.Drive()
	if err != nil {
		return activity, err
	}
	if activity == Active {
		l.sign(LifeDrive)
	}
	if now := l.Session.Status(); now != l.was {
		if l.was = now; now == Established {
			l.sign(LifeConnect)
		}
	}
	if quiet := clock(l.Now).Sub(l.last); quiet > l.timeout {
		l.err = fmt.Errorf("polled: no sign of life for %v: %w", quiet, os.ErrDeadlineExceeded)
		return Idle, l.err
	}
	return activity, nil
}

// Status implements Session.
func (l *Liveness[R, W]) Status() Status {
	if l.err != nil {
		return Terminated
	}
	return l.Session.Status()
}

// Read implements Session.
func (l *Liveness[R, W]) Read() (R, ReadStatus, error) {
	r, status, err := l.Session.Read()
	if status != None {
		l.sign(LifeRead)
	}
	return r, status, err
}

// Write implements Session.
func (l *Liveness[R, W]) Write(w W) (W, WriteStatus, error) {
	rest, status, err := l.Session.Write(w)
	if err == nil && status == Success {
		l.sign(LifeWrite)
	}
	return rest, status, err
}

// TLS returns what the Session below knows of TLS, and false if that is nothing.
func (l *Liveness[R, W]) TLS() (session.TLSState, bool) { return tlsBelow(l.Session) }

// Detach returns the connection as a net.Conn, as MessageSession.Detach does, and ends the session.
func (l *Liveness[R, W]) Detach() (net.Conn, error) { return l.detachWith(nil, nil) }

// detachWith implements detacher.
func (l *Liveness[R, W]) detachWith(unread, unsent []byte) (net.Conn, error) {
	return detachBelow(l.Session, unread, unsent)
}

// CloseInStages is Close for a peer that may still be sending, if the Session below supports that.
func (l *Liveness[R, W]) CloseInStages() error { return closeBelow(l.Session) }
