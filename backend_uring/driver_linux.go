package uring

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Operations, in the upper bits of user_data. The rest of it is the socket's ID.
const (
	opReceive uint64 = iota << backend.IDBits
	opAccept
	opConnect
	opSend
	opRoom  // a poll for room in a socket's send buffer
	opWatch // a poll for hang-ups
	opCancel
	opFlush // takes a buffer out of the ring
	opEvent // a poll of the waker's eventfd
	opWake  // a message of the waker's: no request

	opMask uint64 = 1<<64 - 1<<backend.IDBits
)

// Bits of Socket.State.
const (
	wantReceive uint32 = 1 << iota
	wantAccept
	armed      // a receive or an accept is in flight
	multi      // and it is a multishot receive
	cancelling // and its cancellation was asked for
	missed     // a cancellation did not find its request, which may be in flight all the same
	starved    // a receive waits in line for buffers
	deferred   // what was received waits for the next Poll
	more       // the last receive left bytes in the kernel
	stream     // Receive was called: hang-ups are watched for
	watched    // that watch is in flight
	hung       // and has reported an error, a hang-up, or the peer's end
	overlooked // a receive in flight may not have noticed
	unwatched  // the watch has failed
	ended      // a poll has ended because the completion queue was full, and waits in line to be armed again
	sending    // a send is in flight
	patient    // a send found no room: sends do not wait in the kernel any longer
	roomPolled // the poll for room is in flight
	roomAwaited
	roomSeen // it has reported room since the last send began
	connecting
	releasing
)

// Driver is a backend.Driver on io_uring. After Start it belongs to one thread.
type Driver struct {
	backend.Linux
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
	quiet    line // sockets that found no buffer, and have little to receive
	bulk     line // sockets that have more to receive
	ended    line // sockets with a poll to be armed again
	flush    flush
	spare    SQE // filled instead of a real entry when the ring has failed
	err      error
	thread   int // that Start has locked the goroutine to, 0 before
}

var _ backend.Driver = (*Driver)(nil)

// New makes a driver with everything that takes locked memory or descriptors: where one of them is short New fails, and
// not Start. The error wraps the errno and names the step that failed.
func New(c Config) (*Driver, error) {
	c = c.withDefaults()
	ring, rung, err := setUp(c)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, rung: rung, ring: ring, count: new(backend.Counters)}
	d.tell = d.tellKernel
	d.slots.Reserve(c.Sockets)
	// Before it is enabled a ring takes registrations from any thread; io_uring_register(2).
	if d.buffers, err = newBuffers(d.ring, d.config); err == nil {
		err = d.makeWaker()
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// Start implements backend.Driver. The goroutine is locked to its thread until Close: the ring is that thread's.
func (d *Driver) Start(c *backend.Counters) error {
	runtime.LockOSThread()
	d.thread = unix.Gettid()
	d.count = c
	if err := d.ring.Enable(); err != nil {
		return err
	}
	_ = d.ring.RegisterRingFD() // only cheaper; the ring works without
	d.watchEvent()
	return nil
}

// Attach implements backend.Driver.
func (d *Driver) Attach(s *backend.Socket) error {
	s.State, s.InFlight, s.Op = 0, 0, nil
	if !d.slots.Insert(s) {
		return fmt.Errorf("uring: attach: %w", syscall.ENOBUFS)
	}
	return nil
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.released.Report()
	promised := d.feedQuiet()
	d.changes.Drain(&d.slots, d.tell)
	d.feedBulk(promised)
	d.repoll()
	wait = d.shrink(wait)
	if d.err != nil {
		return n, d.err
	}
	var err error
	if wait == 0 || n > 0 || !d.waiting.empty() || d.feeds() || d.ended.len() > 0 {
		err = d.ring.Look()
	} else {
		err = d.ring.Wait(wait)
	}
	if err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
		d.err = err
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
	if d.rung.multishot {
		f = append(f, "multishot receive")
	}
	if d.config.reduced {
		f = append(f, fmt.Sprintf("queues of %d and %d entries, because locked memory is short", d.config.Entries, d.config.CompletionEntries))
	}
	if d.waker.sender == nil {
		return append(f, "wake by eventfd")
	}
	return append(f, "wake by MSG_RING")
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	return backend.Outstanding{
		Sockets: d.slots.Len() + d.released.Len(), Requests: d.requests - d.waker.requests, Buffers: d.buffers.keptNow(),
		Starved: d.quiet.len() + d.bulk.len(),
	}
}
