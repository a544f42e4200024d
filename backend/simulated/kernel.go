package simulated

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Config says what a Kernel is like. The zero value is a kernel without faults.
type Config struct {
	// Seed decides everything that is left to chance.
	Seed uint64

	// Faults are how the kernel misbehaves. Default: it does not.
	Faults Faults

	// Completions has Transports run on drivers that make requests, as those on io_uring do; else they ask what is
	// ready, as those on epoll do.
	Completions bool

	// Files is how many descriptors there may be at a time. Default 1024.
	Files int

	// SendBuffer and ReceiveBuffer are how many bytes each end of a connection holds in the kernel. Default 64 KiB.
	SendBuffer, ReceiveBuffer int

	// Latency is how long a segment is on its way at least; it may take up to twice that. Default 50 µs.
	Latency time.Duration

	// Stepped is for drivers of loops that run on goroutines of their own: they wait for Step.
	Stepped bool

	// Settle is called before time passes, and before each Step. It returns when no goroutine has anything left to do
	// that is not waiting for the kernel; synctest.Wait does that. Without it time may pass while goroutines of the
	// program, such as those that dial, are still about to act. Default nil.
	Settle func()

	// Pass is called with the time that passes in a sleep, before anything happens at its end. In a bubble of
	// testing/synctest time.Sleep keeps the bubble's clock in step, so that timers of package time and those of Streams
	// come in their order. Default nil.
	Pass func(time.Duration)

	// Trace is called for everything that happens, with the Kernel locked. Default nil.
	Trace func(at time.Duration, what string)
}

// Kernel is a simulated kernel. Any goroutine may use it, and the one that runs a driver may do so in a callback.
type Kernel struct {
	cfg Config

	mu        sync.Mutex // guards what follows
	changed   sync.Cond  // something has happened that a goroutine may wait for
	random    *rand.Rand
	now       time.Duration // since the start
	events    eventQueue
	sequence  uint64
	running   int // functions of AfterFunc that have begun and not returned
	files     []*file
	open      int // descriptors
	listeners map[string]*listener
	names     map[string][]netip.Addr
	nextPort  uint16
	drivers   []*driver
	scarce    error            // what every call gets that takes a resource; nil: there is no shortage
	accepts   error            // what every accept gets; nil: a connection
	forbidden map[string]error // what setting an option gets, by the option's name
	digest    uint64
	count     uint64 // events so far
	interrupt func()
}

// start is the time at which every Kernel begins.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// New makes a kernel.
func New(c Config) *Kernel {
	if c.Files == 0 {
		c.Files = 1024
	}
	if c.SendBuffer == 0 {
		c.SendBuffer = 64 << 10
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = 64 << 10
	}
	if c.Latency == 0 {
		c.Latency = 50 * time.Microsecond
	}
	k := &Kernel{
		cfg: c, random: rand.New(rand.NewPCG(c.Seed, 0x7a5d)), listeners: map[string]*listener{},
		names: map[string][]netip.Addr{}, forbidden: map[string]error{}, nextPort: 40000,
		digest: 14695981039346656037,
	}
	k.changed.L = &k.mu
	return k
}

// Completions is what the Config says.
func (k *Kernel) Completions() bool { return k.cfg.Completions }

// Digest is a number that stands for all that has happened so far: two runs that have the same Digest were the same.
func (k *Kernel) Digest() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.digest
}

// Events is how many things have happened so far.
func (k *Kernel) Events() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.count
}

// Now is how much time has passed since the start.
func (k *Kernel) Now() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

// Spend lets time pass without anything happening, as code that takes long does.
func (k *Kernel) Spend(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now += d
}

// Interrupt has fn called on a loop's goroutine at each point at which another goroutine could come between: before a
// look, before a loop says that it sleeps, after its last look at its tasks, while it sleeps, and in calls of the driver
// that are made with no lock held. nil: nobody is called. fn may call anything but the driver, and StepOther.
func (k *Kernel) Interrupt(fn func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.interrupt = fn
}

// Shortage makes every call that takes a descriptor or memory fail with err, such as syscall.EMFILE, until it is called
// again with nil.
func (k *Kernel) Shortage(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("shortage", 0, 0)
	k.scarce = err
}

// AcceptError makes every accept fail with err, such as syscall.EINVAL, until it is called again with nil. What waits
// to be accepted goes on waiting.
func (k *Kernel) AcceptError(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("accept error", 0, 0)
	k.accepts = err
}

// Forbid makes setting an option fail with err, as if the process had dropped a privilege, until it is called again with
// nil. The option's value does not matter.
func (k *Kernel) Forbid(o backend.SocketOption, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("forbid", 0, 0)
	k.forbidden[o.Name()] = err
}

// SetFaults changes how the kernel misbehaves from now on.
func (k *Kernel) SetFaults(f Faults) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cfg.Faults = f
}

// OpenDescriptors is how many descriptors are open.
func (k *Kernel) OpenDescriptors() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open
}

// chance reports whether something with that probability happens. mu is held, as in all that follows.
func (k *Kernel) chance(p float64) bool {
	return p > 0 && k.random.Float64() < p
}

// upTo is a number from 1 to n.
func (k *Kernel) upTo(n int) int {
	if n <= 1 {
		return n
	}
	return 1 + k.random.IntN(n)
}

// part is n, or less if the kernel is one for which short is likely.
func (k *Kernel) part(n int, short float64) int {
	if n > 1 && k.chance(short) {
		if k.chance(0.5) {
			return k.upTo(min(n, 3))
		}
		return k.upTo(n)
	}
	return n
}

// note counts something that happens into the digest.
func (k *Kernel) note(what string, number, n int) {
	h := k.digest
	for _, b := range []byte(what) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	for _, v := range [...]uint64{uint64(number), uint64(n), uint64(k.now)} {
		h = (h ^ v) * 1099511628211
	}
	k.digest = h
	k.count++
	if k.cfg.Trace != nil {
		k.cfg.Trace(k.now, fmt.Sprintf("%s %d %d", what, number, n))
	}
}

// event is something that happens at a time. Those of one time happen in the order in which they were scheduled.
type event struct {
	at       time.Duration
	sequence uint64
	fn       func()
	index    int // in the queue; -1: not there
}

// after schedules fn, which is called with mu held.
func (k *Kernel) after(d time.Duration, fn func()) *event {
	k.sequence++
	e := &event{at: k.now + max(d, 0), sequence: k.sequence, fn: fn}
	heap.Push(&k.events, e)
	k.changed.Broadcast()
	return e
}

// drop takes an event back and reports whether it had not happened yet.
func (k *Kernel) drop(e *event) bool {
	if e.index < 0 {
		return false
	}
	heap.Remove(&k.events, e.index)
	return true
}

// later schedules fn after a segment's time on its way, which is longer on a kernel that delays.
func (k *Kernel) later(fn func()) { k.after(k.latency(), fn) }

func (k *Kernel) latency() time.Duration {
	d := k.cfg.Latency + time.Duration(k.random.Int64N(int64(k.cfg.Latency)+1))
	if k.chance(k.cfg.Faults.Delay) {
		d += time.Duration(k.random.Int64N(int64(50 * k.cfg.Latency)))
	}
	return d
}

// runDue lets everything happen whose time has come, and reports whether there was anything.
func (k *Kernel) runDue() (ran bool) {
	for {
		for len(k.events) > 0 && k.events[0].at <= k.now {
			heap.Pop(&k.events).(*event).fn()
			ran = true
		}
		if k.running == 0 {
			return ran
		}
		k.changed.Wait() // functions of AfterFunc, which may schedule more
	}
}

// settle has other goroutines act before time passes. mu is not held meanwhile.
func (k *Kernel) settle() {
	if k.cfg.Settle == nil {
		return
	}
	k.mu.Unlock()
	defer k.mu.Lock()
	k.cfg.Settle()
}

// advance moves the clock to the next event, but not beyond until; a negative until is no limit. It reports false if
// nothing is scheduled before that, and then moves the clock to until.
func (k *Kernel) advance(until time.Duration) bool {
	if len(k.events) == 0 || until >= 0 && k.events[0].at > until {
		k.pass(until)
		return false
	}
	k.pass(k.events[0].at)
	k.runDue()
	return true
}

// pass moves the clock on to a time, if that is not over.
func (k *Kernel) pass(to time.Duration) {
	d := to - k.now
	if d <= 0 {
		return
	}
	k.now = to
	if k.cfg.Pass != nil {
		k.mu.Unlock()
		defer k.mu.Lock()
		k.cfg.Pass(d)
	}
}

// eventQueue implements heap.Interface.
type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }

func (q eventQueue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].sequence < q[j].sequence
}

func (q eventQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

// Push implements heap.Interface.
func (q *eventQueue) Push(x any) {
	e := x.(*event)
	e.index = len(*q)
	*q = append(*q, e)
}

// Pop implements heap.Interface.
func (q *eventQueue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.index = -1
	return e
}

// Drivers makes n drivers of the kernel. With completions they are of the kind that makes requests, else of the kind
// that asks what is ready.
func (k *Kernel) Drivers(n int, completions bool) []backend.Driver {
	all, _ := backend.MakeDrivers(n, func() (backend.Driver, error) { return k.NewDriver(completions), nil })
	return all
}
