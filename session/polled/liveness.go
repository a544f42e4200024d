package polled

import (
	"fmt"
	"net"
	"os"
	"time"
)

// Life is a set of what counts as a sign of life.
type Life uint8

// Signs of life.
const (
	LifeConnect Life = 1 << iota // the session becomes Established
	LifeDrive                    // Drive is Active
	LifeRead                     // Read has Data, or Buffered
	LifeWrite                    // Write is a Success

	LifeAny Life = LifeConnect | LifeDrive | LifeRead | LifeWrite
)

// Liveness is a Session that fails if there is no sign of life for too long. Drive tells that, with an error that is
// os.ErrDeadlineExceeded; from then on it is Terminated, and to be closed.
type Liveness[R, W any] struct {
	Session[R, W]

	// Now is the clock, for tests. Nil: time.Now, whose readings are monotonic. Set it before the first Drive.
	Now func() time.Time

	timeout time.Duration
	signs   Life
	begun   bool
	last    time.Time // of the last sign
	was     Status
	err     error
}

// NewLiveness watches inner from its first Drive on. signs say what keeps it alive; 0: LifeAny. LifeRead alone asks for
// something that the peer sent, and is what finds out a peer that has gone.
//
// inner must not be nil, and timeout must be positive: it panics otherwise.
func NewLiveness[R, W any](inner Session[R, W], timeout time.Duration, signs Life) *Liveness[R, W] {
	if inner == nil || timeout <= 0 {
		panic("polled: NewLiveness without a Session or a timeout")
	}
	if signs == 0 {
		signs = LifeAny
	}
	return &Liveness[R, W]{Session: inner, timeout: timeout, signs: signs}
}

// sign notes that there was one.
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

// Detach hands on the Session below, as MessageSession.Detach does, and so ends this one.
func (l *Liveness[R, W]) Detach() (net.Conn, error) { return l.detachWith(nil, nil) }

func (l *Liveness[R, W]) detachWith(front, rest []byte) (net.Conn, error) {
	return detachBelow(l.Session, front, rest)
}

// CloseInStages is Close for a peer that may still be sending, where the Session below can do that.
func (l *Liveness[R, W]) CloseInStages() error { return closeBelow(l.Session) }
