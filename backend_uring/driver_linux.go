package uring

import (
	"fmt"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Driver is a backend.Driver on io_uring. After Start it belongs to one thread.
type Driver struct {
	backend.Linux
	backend.Table
	config   Config
	rung     rung
	ring     *ring.Ring
	buffers  *buffers
	waker    waker
	park     park
	timer    timer
	count    *backend.Counters
	enters   uint64 // of the ring, as of the last Poll
	requests int    // in flight
	later    deferredCQEs
	quiet    line // sockets that found no buffer, and have little to receive
	bulk     line // sockets that have more to receive
	repolls  line // sockets with a poll to be armed again
	flush    flush

	direct     int // how many sends may yet go past the ring in this turn
	mostDirect int // in any

	forward backend.Forwarding
	scratch []byte   // of receives that do not use a buffer of the ring; nil while it is in use, and before its first use
	spare   ring.SQE // filled instead of a real entry when the ring has failed
	err     error

	thread int // to which Start has locked the goroutine; 0 before

	closing   bool
	forgotten []*backend.Socket // by Close, until it knows whether the kernel may still use what they send
}

var _ backend.Driver = (*Driver)(nil)

// New makes a driver with everything that takes locked memory or descriptors. If these are short, New fails and not
// Start. The error wraps the errno and names the step that failed.
func New(c Config) (*Driver, error) {
	c = c.withDefaults()
	r, step, err := setUp(c)
	if err != nil {
		return nil, err
	}
	d := &Driver{config: c, rung: step, ring: r, count: new(backend.Counters)}
	d.Setup("uring", c.Sockets, d.updateKernel)
	if d.mayDirect() {
		d.mostDirect = few
	}
	// Any thread may register buffers with a ring that is not enabled yet; io_uring_register(2).
	if d.buffers, err = newBuffers(d.ring, d.config); err == nil {
		err = d.makeWaker()
		d.openPark()
		d.openTimer()
	}
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// Start implements backend.Driver. It locks the goroutine to its thread until Close, because the ring belongs to that
// thread.
func (d *Driver) Start(c *backend.Counters) error {
	runtime.LockOSThread()
	d.thread = unix.Gettid()
	d.count = c
	if err := d.ring.Enable(); err != nil {
		return err
	}
	if !d.config.Outlived {
		_ = d.ring.RegisterRingFD() // the ring works without, at a higher cost
	}
	d.watchEvent()
	d.watchTimer()
	return nil
}

// Poll implements backend.Driver.
func (d *Driver) Poll(wait time.Duration) (int, error) {
	n := d.ReportReleased()
	d.forward.Turn()
	promised := d.serveQuiet()
	d.FlushChanges()
	d.serveBulk(promised)
	d.repoll()
	wait = d.shrink(wait)
	if d.err != nil {
		return n, d.err
	}
	var err error
	switch {
	case wait == 0 || n > 0 || !d.later.empty() || d.canServe() || d.repolls.len() > 0:
		err = d.ring.Enter()
	case d.park.parks(wait) && d.ring.Ready() == 0:
		err = d.sleepParked(wait)
	case d.park.mode == backend.Held:
		err = d.ring.WaitHeld(backend.HeldWait(wait))
	default:
		err = d.ring.Wait(d.timed(wait))
	}
	if err != nil && err != syscall.EBUSY && err != syscall.EAGAIN {
		d.err = err
		return n, err
	}
	if d.ring.Overflowed() {
		d.count[backend.Overflows]++
	}
	completions := d.reap()
	d.allowDirect(completions)
	n += completions
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
	if d.park.raw != nil {
		f = append(f, "parked in Go's poller beside other goroutines")
	}
	if d.waker.ring == nil {
		return append(f, "wake by eventfd")
	}
	return append(f, "wake by MSG_RING")
}

// Outstanding implements backend.Driver.
func (d *Driver) Outstanding() backend.Outstanding {
	return backend.Outstanding{
		Sockets: d.Unreleased(), Requests: d.requests - d.waker.requests - d.flush.out, Buffers: d.buffers.keptNow(),
		Starved: d.quiet.len() + d.bulk.len(),
	}
}
