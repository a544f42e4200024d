package uring

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// park is the second way to sleep.
//
// A driver sleeps in io_uring_enter(2) as a rule, which costs one system call, and in which the first completion finds it
// at once. But its thread keeps the right to run Go code until the runtime's monitor takes it away, 20 µs to 10 ms later,
// and goroutines that the last turn has made runnable wait for it meanwhile. Where other goroutines are at work with the
// loop, which answer on its streams or post functions to it, or one is ready to run, it parks instead: its goroutine waits
// in Go's poller for an eventfd that the ring signals, and its right to run goes to the next goroutine.
//
// The order of the steps, none of which may be missing:
//
//	Poll   parked = true, so that Wake signals, too
//	 └► RawConn.Read
//	     ├► the poller forgets earlier signals ◄─────────────────┐
//	     ├► the ring is told to signal (Ring.Signals)            │ signal
//	     ├► a look, which also submits (Ring.Look) ─► completions│: return
//	     └► the goroutine waits ─────────────────────────────────┘
//	Poll   the ring is told not to signal; parked = false; completions are reported
//
// What arrives before the look is seen by it, and what arrives after it signals an eventfd whose signals the poller has
// not forgotten.
//
// Go's poller keeps time by the millisecond. So a sleep that is to end in a few milliseconds is one in enter, and a
// longer one that is parked ends a little before its time.
type park struct {
	bell *os.File // the eventfd; nil: the driver cannot park
	raw  syscall.RawConn
	look func(uintptr) bool // of the closure of RawConn.Read, made once
	mode backend.SleepMode

	yieldOnce func(uintptr) bool // for RawConn.Read, made once, as look
	yielding  bool
	armed     time.Time // the read deadline of bell; zero: none
	err       error     // of the last look
	gap       func(gap) // for tests, called between two steps; nil else
}

// gap is a place between two steps of parking.
type gap int

const (
	beforeParking gap = iota // Wake does not signal yet
	beforeSignals            // the ring does not signal yet
	beforeLook
	afterLook // which has found nothing
	afterWait
	numGaps
)

var _ backend.ParkingDriver = (*Driver)(nil)

// Parks implements backend.ParkingDriver.
func (d *Driver) Parks() backend.Parking {
	if d.park.raw == nil {
		return backend.ParksNever
	}
	return backend.ParksInCompany
}

// Yield implements backend.ParkingDriver. The goroutine waits in Go's poller for an eventfd that it signals itself; see
// Yield of package epoll. Behind a deadline that has passed since the last parked sleep it would not wait.
func (d *Driver) Yield() {
	p := &d.park
	p.yielding = false
	if err := p.raw.Read(p.yieldOnce); err != nil && !p.yielding {
		p.armed = time.Time{}
		if p.bell.SetReadDeadline(p.armed) == nil {
			_ = p.raw.Read(p.yieldOnce)
		}
	}
}

// SleepAs implements backend.ParkingDriver.
func (d *Driver) SleepAs(m backend.SleepMode) {
	d.park.mode = m
	if d.park.raw == nil {
		d.park.mode = backend.Blocked
	}
}

const (
	leastParked  = 4 * time.Millisecond // shorter sleeps are not parked
	parkedMargin = 2 * time.Millisecond // by which parked ones end early
)

// parks reports whether the sleep that comes next is parked.
func (p *park) parks(wait time.Duration) bool {
	return p.mode == backend.Parked && (wait < 0 || wait >= leastParked)
}

// openPark prepares parking. Where it fails the driver sleeps in enter. Any thread may register an eventfd with a ring
// that is not enabled yet; io_uring_register(2).
func (d *Driver) openPark() {
	const flags = ring.SetupDeferTaskrun | ring.SetupTaskrunFlag
	if d.config.OwnCPU || d.config.Kernel != nil || d.rung.flags&flags != flags {
		return
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	p := &d.park
	p.bell = os.NewFile(uintptr(fd), "eventfd")
	if p.bell.SetReadDeadline(time.Time{}) != nil { // Go's poller has not taken it, for lack of memory
		return
	}
	if err = d.ring.RegisterEventFD(fd); err != nil {
		return
	}
	if p.raw, err = p.bell.SyscallConn(); err != nil {
		return
	}
	p.yieldOnce = func(uintptr) bool {
		if p.yielding {
			return true
		}
		p.yielding = true
		p.signal()
		return false
	}
	p.look = func(uintptr) bool {
		d.between(beforeSignals)
		d.ring.Signals(true)
		d.between(beforeLook)
		var found bool
		found, p.err = d.ring.Look()
		d.between(afterLook)
		return found || p.err != nil
	}
}

func (d *Driver) between(g gap) {
	if d.park.gap != nil {
		d.park.gap(g)
	}
}

// sleepParked is Ring.Wait in Go's poller. It may return early.
func (d *Driver) sleepParked(wait time.Duration) error {
	p := &d.park
	if err := p.setDeadline(wait); err != nil {
		return err
	}
	d.between(beforeParking)
	d.waker.parked.Store(true)
	p.err = nil
	err := p.raw.Read(p.look)
	d.between(afterWait)
	d.ring.Signals(false)
	d.waker.parked.Store(false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return d.ring.Enter() // the poller may have returned without a look, and what is prepared was not submitted
	}
	if err == nil {
		err = p.err
	}
	return err
}

// setDeadline has a sleep end before wait has passed. A deadline that has not passed stays if it is about the
// right one, or if the sleep may last for ever: it then ends that one for once.
func (p *park) setDeadline(wait time.Duration) error {
	if wait < 0 && p.armed.IsZero() {
		return nil
	}
	now := time.Now()
	var due time.Time
	if wait >= 0 {
		due = now.Add(wait - parkedMargin)
	}
	armed := p.armed.After(now)
	switch {
	case armed && wait < 0:
		return nil
	case armed && !p.armed.After(due) && due.Sub(p.armed) < wait/2:
		return nil
	}
	p.armed = due
	return p.bell.SetReadDeadline(due)
}

// signal ends the sleep of a driver that is parked. Any goroutine; after Close it does nothing.
func (p *park) signal() { _, _ = p.bell.Write(one) }

// one is what signals an eventfd once; eventfd(2).
var one = binary.NativeEndian.AppendUint64(nil, 1)

// closePark closes the eventfd.
func (d *Driver) closePark() {
	if d.park.bell != nil {
		_ = d.park.bell.Close()
	}
}
