package simulated

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// ErrFailed is the error of a driver that was told to fail.
var ErrFailed = errors.New("simulated: the driver was told to fail")

// engine is what the two kinds of drivers do in their own way. All methods belong to the loop's goroutine.
type engine interface {
	// look hands the kernel what was asked for, lets it go on, and reports what has happened since.
	look() int

	// due reports whether look would find something. mu is held.
	due() bool
}

// driver is what both kinds have in common: they sleep, and are woken.
type driver struct {
	sockets
	backend.Table
	engine
	name  string
	count *backend.Counters

	// The kernel's mu guards what follows.
	attached map[int]struct{} // numbers of descriptors
	woken    bool
	fails    bool
	closed   bool
	parked   bool          // it waits for Step
	until    time.Duration // and sleeps until then; -1: for ever
	grant    bool          // Step lets it go on
}

// Driver is a driver of a Kernel.
type Driver interface {
	backend.Driver
	backend.Mover

	// BeforeSleep is called by the loop between its last look at its tasks and its sleep.
	BeforeSleep()

	// Fail makes the next Poll fail, as if the kernel could not go on.
	Fail()
}

// NewDriver makes a driver: of the kind that makes requests, or of the kind that asks what is ready.
func (k *Kernel) NewDriver(completions bool) Driver {
	d := &driver{sockets: sockets{k: k}, name: "simulated", count: new(backend.Counters), attached: map[int]struct{}{}}
	k.mu.Lock()
	k.drivers = append(k.drivers, d)
	k.mu.Unlock()
	if completions {
		return newCompletions(d)
	}
	return newReadiness(d)
}

// Start implements backend.Driver.
func (d *driver) Start(c *backend.Counters) error {
	d.count = c
	return nil
}

// Move implements backend.Mover.
func (d *driver) Move() error { return nil }

// Wake implements backend.Driver.
func (d *driver) Wake() {
	defer d.locked()()
	d.woken = true
	d.k.changed.Broadcast()
}

// Fail implements Driver.
func (d *driver) Fail() {
	defer d.locked()()
	d.fails = true
	d.k.changed.Broadcast()
}

// Attach implements backend.Driver.
func (d *driver) Attach(s *backend.Socket) error {
	d.point()
	defer d.locked()()
	d.k.file(s.Descriptor)
	err := d.k.shortage()
	if err == nil {
		err = d.Table.Attach(s)
	}
	if err != nil {
		return fmt.Errorf("%s: attach: %w", d.name, err)
	}
	for _, other := range d.k.drivers {
		if _, ok := other.attached[s.FD()]; ok {
			panic("simulated: a descriptor is attached that a driver still has: " + strconv.Itoa(s.FD()))
		}
	}
	d.attached[s.FD()] = struct{}{}
	return nil
}

// detach takes s out of the table: nothing refers to its descriptor any longer.
func (d *driver) detach(s *backend.Socket) {
	d.k.mu.Lock()
	delete(d.attached, s.FD())
	d.k.mu.Unlock()
	d.MarkReleased(s)
}

// point is where another goroutine could come between.
func (d *driver) point() {
	d.k.mu.Lock()
	fn := d.k.interrupt
	if d.closed { // its loop ends beside the others, and Step does not wait for it
		fn = nil
	}
	d.k.mu.Unlock()
	if fn != nil {
		fn()
	}
}

// BeforeSleep implements Driver.
func (d *driver) BeforeSleep() { d.point() }

// Poll implements backend.Driver.
func (d *driver) Poll(wait time.Duration) (int, error) {
	d.point()
	if err := d.begin(wait); err != nil {
		return 0, err
	}
	n := d.ReportReleased()
	d.FlushChanges()
	n += d.look()
	if n > 0 || wait == 0 {
		return n, nil
	}
	return d.sleep(wait)
}

// begin lets the time of a system call pass, and everything happen that is due. A stepped driver waits for its turn.
func (d *driver) begin(wait time.Duration) error {
	defer d.locked()()
	k := d.k
	k.now += 200 * time.Nanosecond
	if k.cfg.Stepped {
		d.park(k.now)
	} else {
		k.runDue()
	}
	return d.failure()
}

// failure is why the driver cannot go on. mu is held.
func (d *driver) failure() error {
	switch {
	case d.fails:
		return ErrFailed
	case d.closed:
		return errors.New("simulated: Poll after Close")
	}
	return nil
}

// sleep lets time pass until there is something to report.
func (d *driver) sleep(wait time.Duration) (int, error) {
	d.point()
	d.k.mu.Lock()
	until := time.Duration(-1)
	if wait > 0 {
		until = d.k.now + wait
	}
	d.k.mu.Unlock()
	for {
		over, err := d.nap(until)
		if err != nil {
			return 0, err
		}
		if n := d.look(); n > 0 || over {
			return n, nil
		}
	}
}

// nap lets time pass until look may find something, and reports whether the sleep is over in any case.
func (d *driver) nap(until time.Duration) (over bool, err error) {
	defer d.locked()()
	k := d.k
	for d.quiet() {
		if !k.cfg.Stepped {
			k.settle()
		}
		switch {
		case !d.quiet():
		case until >= 0 && k.now >= until, k.chance(k.cfg.Faults.Interrupt):
			return true, nil
		case k.cfg.Stepped:
			d.park(until)
		case !k.advance(until) && until < 0:
			k.changed.Wait() // only another goroutine can end this
		}
	}
	over = d.woken
	d.woken = false
	return over, d.failure()
}

// quiet reports whether there is no reason to end a sleep. mu is held.
func (d *driver) quiet() bool { return !d.woken && !d.due() && !d.fails && !d.closed }

// park waits for Step. mu is held.
func (d *driver) park(until time.Duration) {
	d.parked, d.until = true, until
	d.k.changed.Broadcast()
	for !d.grant && !d.closed {
		d.k.changed.Wait()
	}
	d.parked, d.grant = false, false
}

// Close implements backend.Driver.
func (d *driver) Close() error {
	defer d.locked()()
	d.closed = true
	clear(d.attached)
	d.k.changed.Broadcast()
	return nil
}
