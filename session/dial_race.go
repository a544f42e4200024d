package session

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// attemptDelay is how long a dial waits for one address before it tries the next beside it: the Connection Attempt
// Delay of RFC 8305, section 5.
const attemptDelay = 250 * time.Millisecond

// dial is a race of attempts, one for each address, begun one after another, on the stream's loop; sockets are made on
// another goroutine, which serves.
//
//	undecided ──► decided: one has won, or the stream has ended ──► done: no attempt is left
//
// Until the stream has its descriptor the dial owns the stream's end: it calls finish when the stream is over and no
// attempt is left. From then on the stream owns its end, and the dial only lets go of the attempts that have lost.
type dial struct {
	stream   *Stream
	network  string
	multi    bool // MPTCP
	opts     DialOptions
	sockopt  socketOptions
	target   target
	lookup   context.CancelFunc              // ends looking up and making sockets
	wanted   chan backend.Address            // asks for a socket; at most one at a time
	deadline time.Time                       // what Timeout comes to
	first    atomic.Pointer[backend.Address] // the address that is preferred, once it is known

	// What follows belongs to the loop.
	todo    []backend.Address
	made    []madeSocket // sockets for the first of todo
	making  bool         // a socket was asked for
	running map[*attempt]struct{}
	err     error // of the first attempt that failed
	delay   backend.Timer
	timeout backend.Timer
	decided bool                      // an attempt has won, or the stream has ended
	given   bool                      // the stream has its descriptor, and with it its end
	ends    bool                      // the stream waits for the last attempt, to finish
	waited  bool                      // by Dial, which has the result
	result  chan<- error              // for Dial, until it is told; nil for Connect
	giveTo  chan<- backend.Descriptor // gets the connection, instead of the stream; nil: the stream has it
}

// attempt is one socket that connects. It holds the loop until it is released.
type attempt struct {
	backend.NoEvents
	dial   *dial
	sock   backend.Socket
	addr   backend.Address
	winner bool
	looks  int  // at a vsock that was reported to be connected
	over   bool // the driver was told to let go
}

// start begins on the loop: at once if the address is known, else when its name has been looked up.
func (d *dial) start() {
	s := d.stream
	if d.decided {
		return // the stream has ended before, in a turn that had not yet come to this
	}
	s.loop.dialing[d] = struct{}{}
	d.delay.Fire = d.next
	switch {
	case s.loop.draining:
		s.failed(d.failure(net.ErrClosed))
	case d.opts.Timeout < 0:
		s.failed(d.failure(os.ErrDeadlineExceeded))
	case d.opts.Timeout > 0 && d.result == nil: // Dial, which waits, looks after that itself
		d.timeout.Fire = func() { s.failed(d.failure(os.ErrDeadlineExceeded)) }
		s.loop.StartTimer(&d.timeout, d.deadline.Sub(s.loop.Time.Now()))
	}
	if d.target.host == "" {
		d.todo = d.target.known
		d.next()
	}
}

// resolved follows the look-up of a name.
func (d *dial) resolved(addrs []backend.Address, err error) {
	if err != nil {
		d.stream.failed(d.opError(backend.Address{}, err))
		return
	}
	d.todo = addrs
	d.next()
}

// next begins the next attempt, with a socket that is there already or as soon as one has been made.
func (d *dial) next() {
	d.stream.loop.StopTimer(&d.delay)
	for !d.decided && !d.making && len(d.todo) > 0 && !d.stream.ended() {
		addr := d.todo[0]
		if len(d.made) == 0 {
			d.making = true
			d.wanted <- addr
			return
		}
		m := d.made[0]
		d.made, d.todo = d.made[1:], d.todo[1:]
		if d.try(addr, m) {
			if len(d.todo) > 0 && !d.decided {
				d.stream.loop.StartTimer(&d.delay, attemptDelay)
			}
			return
		}
	}
	if !d.decided && !d.making && len(d.running) == 0 && len(d.todo) == 0 {
		d.stream.failed(d.err)
	}
}

// socketMade follows a socket that was asked for.
func (d *dial) socketMade(m madeSocket) {
	d.making = false
	if d.decided {
		d.discard(m)
		return
	}
	d.made = append(d.made, m)
	d.next()
}

// try begins to connect to addr. It reports false if that failed at once.
func (d *dial) try(addr backend.Address, m madeSocket) bool {
	if m.err != nil {
		d.note(addr, m.err)
		return false
	}
	loop := d.stream.loop
	connected, err := loop.Sockets.BeginConnect(m.fd, addr)
	if err == nil && connected {
		d.decide(nil)
		d.connected(m.fd, addr)
		return true
	}
	a := &attempt{dial: d, addr: addr}
	a.sock = backend.Socket{Descriptor: m.fd, Owner: a}
	if err == nil {
		err = loop.Driver.Attach(&a.sock)
	}
	if err != nil {
		d.closeSocket(m.fd)
		d.note(addr, err)
		return false
	}
	loop.retain()
	d.running[a] = struct{}{}
	loop.Driver.Connect(&a.sock)
	return true
}

// Connected implements backend.Events.
func (a *attempt) Connected(err error) {
	d := a.dial
	if d.decided || a.over {
		return // it is being released already
	}
	switch {
	case err != nil:
	case a.isUnfinished():
		a.dial.stream.loop.Driver.Connect(&a.sock)
		return
	case d.selfConnected(a.sock.Descriptor):
		err = syscall.ECONNREFUSED
	}
	if a.winner = err == nil; a.winner {
		d.decide(a)
	} else {
		d.note(a.addr, os.NewSyscallError("connect", err))
	}
	a.release()
}

// release tells the driver to let go of the attempt's socket, once. Released follows.
func (a *attempt) release() {
	if !a.over {
		a.over = true
		a.dial.stream.loop.Driver.Release(&a.sock)
	}
}

// Released implements backend.Events.
func (a *attempt) Released() {
	d, loop := a.dial, a.dial.stream.loop
	if _, ok := d.running[a]; !ok {
		return // the loop has died, and the descriptor is closed
	}
	delete(d.running, a)
	if a.winner {
		d.connected(a.sock.Descriptor, a.addr)
	} else {
		d.closeSocket(a.sock.Descriptor)
		d.next()
	}
	d.settle()
	loop.release()
}

// decide ends the race: all attempts but the winner are given up.
func (d *dial) decide(winner *attempt) {
	d.decided = true
	loop := d.stream.loop
	loop.StopTimer(&d.delay)
	loop.StopTimer(&d.timeout)
	d.lookup()
	d.closeMade()
	for a := range d.running {
		if a != winner {
			a.release()
		}
	}
}

func (d *dial) closeMade() {
	for _, m := range d.made {
		d.discard(m)
	}
	d.made = nil
}

// connected gives the stream its descriptor, unless it has ended meanwhile. The race is decided.
func (d *dial) connected(fd backend.Descriptor, addr backend.Address) {
	s := d.stream
	if s.ended() {
		s.closeUnopened(fd)
		return
	}
	if err := d.sockopt.connected(s.loop.Sockets, fd); err != nil {
		s.closeUnopened(fd)
		s.failed(d.opError(addr, err))
		return
	}
	if d.giveTo != nil {
		d.give(fd)
		return
	}
	d.given = true
	s.attach(fd, backend.Address{})
	if s.opened {
		d.tell(nil)
	}
	d.settle()
}

// give hands the connection to whoever waits in DialConn, unless the dial has been given up meanwhile. The stream ends.
func (d *dial) give(fd backend.Descriptor) {
	s := d.stream
	s.mu.Lock()
	waits := s.life.phase == dialing
	if waits {
		d.giveTo <- fd
		s.failLocked(errGiven, true)
	}
	s.mu.Unlock()
	if !waits {
		d.closeSocket(fd)
	}
}

// cancel gives up: the stream has ended before it had a descriptor.
func (d *dial) cancel() {
	if !d.decided {
		d.decide(nil)
	}
	d.stream.loop.dialing[d] = struct{}{} // also if it has not begun yet
	d.ends = true
	d.settle()
}

// settle lets go of the loop when no attempt is left, and lets a stream finish that waited for that.
func (d *dial) settle() {
	if !d.decided || len(d.running) > 0 {
		return
	}
	switch {
	case d.ends:
		d.ends = false
		d.stream.finish() // if a callback ends the goroutine, bury finds the dial
		delete(d.stream.loop.dialing, d)
	case d.given:
		delete(d.stream.loop.dialing, d)
	}
}

// loopDied gives up without the loop, whose driver is closed.
func (d *dial) loopDied() {
	d.decided, d.ends = true, false
	d.lookup()
	d.closeMade()
	for a := range d.running {
		d.closeSocket(a.sock.Descriptor)
		d.stream.loop.release()
	}
	clear(d.running)
}

// tell answers Dial, once.
func (d *dial) tell(err error) {
	if d.result != nil {
		d.result <- err
		d.result = nil
	}
}

// note keeps the first error, which is the one that is told: it is of the address that was preferred.
func (d *dial) note(addr backend.Address, err error) {
	if d.err == nil {
		d.err = d.opError(addr, err)
	}
}

// opError is err as package net tells errors of a dial: one that is about an address names both ends, one of a look-up
// none.
func (d *dial) opError(addr backend.Address, err error) error {
	op := &net.OpError{Op: "dial", Net: d.network, Err: err}
	if a := addr.NetAddr(); a != nil {
		op.Source, op.Addr = d.opts.LocalAddr, a
	}
	return op
}

// failure is err as the end of the whole dial. It names the address that was preferred, if that is known. Any goroutine.
func (d *dial) failure(err error) error {
	if first := d.first.Load(); first != nil {
		return d.opError(*first, err)
	}
	return d.opError(backend.Address{}, err)
}

// ended reports whether the stream has ended while it was being dialled.
func (s *Stream) ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life.phase > dialing
}
