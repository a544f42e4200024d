package uring

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Operations, in the upper byte of user_data. The rest of it is the socket's ID.
const (
	opReceive uint64 = iota << backend.IDBits
	opAccept
	opConnect
	opSend
	opWatch
	opCancel
	opWake

	opMask uint64 = 1<<64 - 1<<backend.IDBits
)

// Bits of Socket.State.
const (
	wantReceive uint32 = 1 << iota
	wantAccept
	armed      // a receive or an accept is in flight
	cancelling // and its cancellation was asked for
	starved    // a receive waits for buffers
	stream     // Receive was called: hang-ups are watched for while receiving is off
	watched    // that watch is in flight
	releasing
	quiescing // it is Quiesce that waits
)

// Driver is a backend.Driver on io_uring. After Start it belongs to one thread.
type Driver struct {
	config   Config
	rung     rung
	ring     *Ring
	buffers  *buffers
	waker    waker
	slots    backend.Slots
	changes  backend.Changes
	released backend.Releases
	tell     func(*backend.Socket) // tellKernel, made once
	count    *backend.Counters
	enters   uint64 // of the ring, as of the last Poll
	requests int    // in flight
	stashed  []CQE  // taken from the queue to make room in it, to be looked at by the next Poll
	hungry   []*backend.Socket
	spare    SQE   // filled instead of a real entry when the ring has failed
	err      error // why the ring has failed
	locked   bool
}

var _ backend.Driver = (*Driver)(nil)

// New makes a driver. The error wraps the errno and names the step that failed.
func New(c Config) (*Driver, error) {
	c = c.withDefaults()
	ring, rung, err := setUp(c)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, rung: rung, ring: ring, count: new(backend.Counters)}
	d.tell = d.tellKernel
	d.slots.Reserve(c.Sockets)
	return d, nil
}

// Start implements backend.Driver. The goroutine is locked to its thread until Close: the ring is that thread's.
func (d *Driver) Start(c *backend.Counters) (err error) {
	runtime.LockOSThread()
	d.locked = true
	d.count = c
	if err := d.ring.Enable(); err != nil {
		return err
	}
	_ = d.ring.RegisterRingFD() // only cheaper; the ring works without
	if d.buffers, err = newBuffers(d.ring, d.config); err != nil {
		return err
	}
	return d.startWaker()
}

// Attach implements backend.Driver.
func (d *Driver) Attach(s *backend.Socket) error {
	s.State, s.InFlight = 0, 0
	if !d.slots.Insert(s) {
		return fmt.Errorf("uring: attach: %w", syscall.ENOBUFS)
	}
	return nil
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.released.Report()
	d.feed()
	d.changes.Drain(&d.slots, d.tell)
	if d.err != nil {
		return n, d.err
	}
	var err error
	if wait == 0 || n > 0 || len(d.stashed) > 0 {
		err = d.ring.Look()
	} else {
		err = d.ring.Wait(wait)
	}
	if err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
		return n, err
	}
	if d.ring.Overflowed() {
		d.count[backend.Overflows]++
	}
	n += d.reap()
	d.buffers.publish()
	d.count[backend.SystemCalls] += d.ring.Enters() - d.enters
	d.enters = d.ring.Enters()
	return n, nil
}

// reap deals with the completions that are there now; not with such as come meanwhile, so that a turn ends.
func (d *Driver) reap() int {
	stashed := d.stashed
	d.stashed = nil
	ready := int(d.ring.Ready())
	for i := range stashed {
		d.complete(&stashed[i])
	}
	taken := 0
	for ; taken < ready; taken++ {
		c := d.ring.Peek()
		if c == nil {
			break // a callback has stashed them
		}
		copied := *c
		d.ring.Advance()
		d.complete(&copied)
	}
	n := len(stashed) + taken
	d.count[backend.Completions] += uint64(n)
	return n
}

// complete deals with one completion. The last of a request, without F_MORE, ends it.
func (d *Driver) complete(c *CQE) {
	op := c.UserData & opMask
	if op == opWake {
		d.woken(c)
		return
	}
	last := !c.More()
	s := d.slots.Lookup(backend.ID(c.UserData &^ opMask))
	if last {
		d.requests--
		if s != nil {
			s.InFlight--
		}
	}
	switch op {
	case opReceive:
		d.received(s, c, last)
	case opAccept:
		d.accepted(s, c, last)
	case opConnect:
		if s != nil && s.State&releasing == 0 {
			s.Owner.Connected(backend.TakeError(s.FD))
		}
	case opSend:
		d.sent(s, c)
	case opWatch:
		d.hungUp(s, c, last)
	case opCancel: // what it was to cancel says for itself how it ended
	}
	if s != nil && s.State&(releasing|quiescing) == releasing && s.InFlight == 0 && d.slots.Lookup(s.ID) == s {
		d.letGo(s)
	}
}

// Keep implements backend.Driver.
func (d *Driver) Keep() func() { return d.buffers.keep(d.Wake) }

// Features implements backend.Driver.
func (d *Driver) Features() []string {
	f := append([]string{"rung " + d.rung.name}, d.rung.features...)
	if d.config.EventFD || !d.rung.messages {
		return append(f, "wake by eventfd")
	}
	return append(f, "wake by MSG_RING")
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	o := backend.Outstanding{Sockets: d.slots.Len() + d.released.Len(), Requests: d.requests - d.waker.requests()}
	if d.buffers != nil {
		o.Buffers = d.buffers.keptNow()
	}
	return o
}
