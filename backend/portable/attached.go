package portable

import (
	"io"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// eventKind is what has happened.
type eventKind uint8

const (
	ended     eventKind = iota // the goroutine that receives or accepts
	received                   // buf[:n], or err
	accepted                   // a connection, or err
	connected                  // a connect is over
	sent                       // n bytes, or err
	hungUp                     // the connection has failed, and is not received from
)

// event is what a goroutine of the driver has done.
type event struct {
	a    *attached
	kind eventKind
	last bool // the goroutine has ended with it
	buf  []byte
	n    int
	err  error
	conn *file
	// fails is of a hang-up that is a failure.
	fails bool
}

// maxPieces is how many pieces of a stream may wait to be reported, and maxConns how many connections of a listener.
const (
	maxPieces = 2
	maxConns  = 16
)

// attached is what the driver has of an attached socket.
type attached struct {
	d       *Driver
	f       *file
	id      backend.ID
	bounded bool
	started bool                   // its goroutine runs; the loop's
	call    func(fd uintptr) bool  // try, made once
	wake    chan struct{}          // ends a wait of the goroutine, together with parked
	got     event                  // what try has done; the goroutine's
	kept    []backend.SocketOption // of a listener, that package net changes; the goroutine's

	mu        sync.Mutex // guards what follows
	wants     bool       // to receive, or to accept
	ended     bool       // the end was told; until it is asked to go on
	hung      bool       // a hang-up was told; until then
	failed    bool       // a failure was told; until then
	ahead     bool       // with package net alone: a piece was received that was not asked for; until then
	out       int        // events that were not reported yet
	parked    bool
	calls     bool // its goroutine is in a call that waits
	watches   bool // and that call waits for a failure alone
	kicked    bool // that call was interrupted
	releasing bool

	sends      bool // a send waits
	sendKicked bool
	vec        [][]byte              // of that send; its goroutine's
	sendCall   func(fd uintptr) bool // trySend, made once
	sentBytes  int
	sentErr    error
}

// want says whether the goroutine is to receive, or to accept. The loop's.
func (a *attached) want(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if on {
		a.ended, a.hung, a.failed, a.ahead = false, false, false, false
	}
	a.wants = on
	switch {
	case a.f.ln != nil && !on, on && a.watches:
		a.kickLocked()
	case on:
		a.unparkLocked()
	}
}

// reported follows that an event was.
func (a *attached) reported() {
	a.mu.Lock()
	a.out--
	a.unparkLocked()
	a.mu.Unlock()
}

func (a *attached) unparkLocked() {
	if a.parked {
		a.parked = false
		a.wake <- struct{}{}
	}
}

// kickLocked interrupts the goroutine, if it is in a call that waits.
func (a *attached) kickLocked() {
	if !a.calls || a.kicked {
		return
	}
	a.kicked = true
	a.setDeadline(past)
}

// setDeadline sets that of the goroutine's calls.
func (a *attached) setDeadline(t time.Time) {
	if a.f.ln != nil {
		_ = a.f.ln.SetDeadline(t)
	} else {
		_ = a.f.conn.SetReadDeadline(t)
	}
}

// release ends all goroutines of the socket.
func (a *attached) release() {
	a.mu.Lock()
	a.releasing = true
	a.unparkLocked()
	a.kickLocked()
	if a.sends && !a.sendKicked {
		a.sendKicked = true
		_ = a.f.conn.SetWriteDeadline(past)
	}
	a.mu.Unlock()
	if a.f.dial != nil {
		a.f.dial.cancel() // once it has connected that changes nothing
	}
}

// next waits until the goroutine has something to do, and reports false if the socket is being released.
func (a *attached) next() bool {
	for {
		a.mu.Lock()
		switch {
		case a.releasing:
			a.mu.Unlock()
			return false
		case a.mayCallLocked():
			a.calls = true
			a.mu.Unlock()
			return true
		}
		a.parked = true
		a.mu.Unlock()
		<-a.wake
	}
}

// mayCallLocked reports whether there is something to wait for in a call.
func (a *attached) mayCallLocked() bool {
	switch {
	case a.f.ln != nil && a.bounded:
		return a.wants && a.out == 0
	case a.f.ln != nil:
		return a.wants && a.out < maxConns
	case a.wants && !a.ended:
		return a.out < maxPieces
	case a.d.plain: // what it receives shows whether the connection has failed
		return a.out == 0 && !a.ahead && !a.ended
	}
	return !a.failed
}

// returned follows a call, with its error, and reports whether it was interrupted.
func (a *attached) returned(err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls, a.watches = false, false
	if a.kicked || interrupted(err) {
		a.kicked = false
		a.setDeadline(time.Time{})
	}
	return interrupted(err)
}

// tell posts an event that reported has to follow.
func (a *attached) tell(e event) {
	a.mu.Lock()
	a.out++
	a.ahead = a.ahead || !a.wants
	if e.err != nil {
		a.wants, a.ended = false, true
	}
	a.hung = a.hung || e.kind == hungUp
	a.failed = a.failed || e.fails || e.err != nil && e.err != io.EOF
	a.mu.Unlock()
	e.a = a
	a.d.post(e)
}

// over ends the goroutine.
func (a *attached) over() {
	a.f.own.letGo(a.f.conn)
	a.d.post(event{a: a, kind: ended, last: true})
	a.d.running.Done()
}

// report reports an event to the socket's owner.
func (d *Driver) report(e *event) bool {
	s := d.Lookup(e.a.id)
	if s == nil {
		d.drop(e)
		return false
	}
	if e.last {
		s.InFlight--
		d.requests--
	}
	d.tellOwner(s, e)
	if s.State&releasing != 0 && s.InFlight == 0 && d.Lookup(e.a.id) == s {
		d.detach(s)
	}
	return true
}

func (d *Driver) tellOwner(s *backend.Socket, e *event) {
	released := s.State&releasing != 0
	switch e.kind {
	case received:
		d.tellReceived(s, e, released)
		e.a.reported()
	case accepted:
		d.tellAccepted(s, e, released)
		e.a.reported()
	case hungUp:
		if s.State&(receiving|releasing) == 0 {
			s.Owner.HungUp()
		}
		e.a.reported()
	case sent:
		s.Op = nil
		if !released || e.n > 0 || e.err != nil {
			s.Owner.Sent(e.n, e.err)
		}
	case connected:
		s.State &^= connecting
		if !released {
			s.Owner.Connected(e.a.f.dial.result())
		}
	}
}

func (d *Driver) tellReceived(s *backend.Socket, e *event, released bool) {
	if e.n > 0 {
		d.lent, d.buf = e.n, e.buf
		s.Owner.Received(e.buf[:e.n:e.n])
		if d.buf != nil {
			d.pool.Put(d.buf)
		}
		d.lent, d.buf, e.buf = 0, nil, nil
	}
	if e.err == nil {
		return
	}
	if !released {
		s.State &^= receiving
	}
	if !released || e.err != io.EOF {
		s.Owner.ReceiveEnded(e.err)
	}
}

func (d *Driver) tellAccepted(s *backend.Socket, e *event, released bool) {
	switch {
	case e.err == nil:
		s.Owner.Accepted(d.add(e.conn), addressOf(e.conn.conn.RemoteAddr()), nil)
	case !released:
		s.State &^= accepting
		s.Owner.Accepted(backend.Descriptor{}, backend.Address{}, e.err)
	}
}

// drop gives back what an event brings that is not reported.
func (d *Driver) drop(e *event) {
	if e.buf != nil {
		d.pool.Put(e.buf)
		e.buf = nil
	}
	if e.conn != nil {
		_ = e.conn.conn.Close()
	}
}
