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
	deferred   // what was received waits for the next Poll
	fed        // a receive got some since it was armed
	stream     // Receive was called: hang-ups are watched for
	watched    // that watch is in flight
	hung       // and has reported an error, a hang-up, or the peer's end
	overlooked // a receive in flight may not have noticed
	releasing
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
	waiting  backlog
	hungry   []*backend.Socket // starved sockets, in the order in which they are fed
	unfed    int               // so many of them, in front, got nothing when they were fed last
	spare    SQE               // filled instead of a real entry when the ring has failed
	err      error             // why the ring has failed
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
	if wait == 0 || n > 0 || !d.waiting.empty() || d.feeds() {
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
