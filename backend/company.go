package backend

import (
	"runtime"
	"runtime/metrics"
	"sync/atomic"
	"time"
)

// company decides for a ParkingDriver how its loop sleeps next. A sleep that is not parked costs less, and the loop keeps
// the right to run Go code, a processor in the runtime's words, until the runtime's monitor takes it away. So a sleep is
// parked while other goroutines are at work with the loop, which have posted to it or written to its streams during one of
// the last few sleeps, and while one is ready to run.
//
// A driver that parks as a rule does without only where there is one processor, which has nobody to search for work, in the
// only loop of the process, and if that sleeps often. With one processor, what becomes ready by a timer or by Go's poller
// during a sleep that is not parked may have to wait for the end of a window. If there were others to run then, the loop
// parks for a while.
//
// At the end of each window a loop that sleeps often yields: others that are ready run, what a timer or the poller has for
// them included. It also keeps the monitor calm, and so do held sleeps; see monitor.
type company struct {
	counted bool          // in loops
	driver  ParkingDriver // nil: the driver has one way to sleep
	rule    bool          // it parks as a rule
	clock   func() int64  // Loop.Clock
	tasks   uint64        // that the loop has run
	seen    uint64        // tasks and writes as of the last sleep
	left    int           // how many sleeps are yet to be parked because others were at work

	window  int64     // nanoseconds
	since   int64     // when the present window began
	span    int64     // when the present span began
	sleeps  int       // in the present span
	broken  int       // those of them that ended only because they were held
	mode    SleepMode // of the last sleep
	few     bool      // the last sleep was also a look, and brought few events
	last    int64     // what the loop had read of its clock by the last sleep
	often   bool      // the loop sleeps often
	dense   bool      // more often than at which parking costs more than it gives, where it is not the rule
	single  bool      // there was one processor when the window before ended
	until   int64     // until when sleeps are parked because others had to wait for the end of a window
	monitor monitor

	ready   func() bool // whether a goroutine waits for a processor
	gosched func()      // runtime.Gosched
}

const (
	fewEvents = 2 // with how many events of a sleep a loop has so little to do that it need not look again

	stays = 16 // for how many sleeps others are taken to be at work after they have last been seen

	// How often a loop sleeps shows in a span. It then sleeps often for as long as it does so half as often, without a
	// pause of two windows: to change between ways to sleep costs more than either.
	spanTime          = int64(16 * time.Millisecond)
	leastMoves        = 128
	leastLocked       = 16
	leastLockedSingle = 8 // with one processor

	windowMoves  = int64(time.Millisecond)
	windowLocked = int64(4 * time.Millisecond) // a goroutine that is locked to its thread yields by way of other threads

	othersStay = int64(100 * time.Millisecond)
)

func (c *company) open(d Driver, clock func() int64) {
	driver, ok := d.(ParkingDriver)
	if !ok {
		return
	}
	switch driver.Parks() {
	case ParksNever:
		return
	case ParksAsARule:
		c.rule, c.window = true, windowMoves
	case ParksInCompany:
		c.window = windowLocked
	}
	c.driver, c.clock = driver, clock
	c.ready, c.gosched = newReady(), runtime.Gosched
	c.monitor.switches = voluntarySwitches
}

// begin is for a loop that begins to run, once.
func (c *company) begin() {
	c.counted = true
	loops.Add(1)
}

// close is for a loop that has ended. It can be called again.
func (c *company) close() {
	c.driver = nil
	if c.counted {
		c.counted = false
		loops.Add(-1)
	}
}

// loops is how many loops run in this process.
var loops atomic.Int64

// beforeSleep tells the driver how to sleep next, or reports that it has yielded: others may have run for long, and the
// loop has to see what is due before it sleeps. Now is when the loop last read its clock, which it does in a turn that has
// callbacks or timers.
func (c *company) beforeSleep(writes uint64, now int64) (yielded bool) {
	if now != c.last {
		c.last = now
	} else {
		now = c.clock()
	}
	if now-c.since >= c.window && c.endWindow(now) {
		return true
	}
	c.sleeps++
	switch {
	case c.atWork(writes) || c.rule && !c.often || now < c.until || c.single && c.ready():
		c.mode = Parked
	case now < c.monitor.until:
		c.mode = Held
	default:
		c.mode = Blocked
	}
	c.driver.SleepAs(c.mode)
	return false
}

// looks reports whether to look for events before the next sleep. A sleep that is not parked is a look, too, and behind one
// that brought few events a look would find none. That holds for one turn: it may not come to a sleep.
func (c *company) looks() bool {
	few := c.few
	c.few = false
	return !few
}

// afterSleep is for the end of a sleep that was to take wait at most, with a number of events.
func (c *company) afterSleep(events int, wait time.Duration) {
	c.few = c.rule && c.mode != Parked && events > 0 && events <= fewEvents
	if c.mode == Held && events == 0 && HeldWait(wait) != wait {
		c.broken++
	}
}

func (c *company) endWindow(now int64) (yielded bool) {
	pause := now-c.since >= 2*c.window
	c.since = now
	procs, all := runtime.GOMAXPROCS(0), int(loops.Load())
	c.single = procs == 1 // another processor would run whoever is ready
	only := c.single && all == 1
	if pause || now-c.span >= spanTime {
		c.endSpan(now, pause, only)
	}
	if !only {
		c.often = c.often && !c.rule
	}
	if !only || !c.often {
		c.monitor.until = 0
	}
	if !c.often || now < c.until {
		return false
	}
	c.yield(procs, all)
	if c.single && (c.rule || !c.dense) && c.ready() {
		c.until = now + othersStay
	}
	return true
}

// yield lets others run that are ready. Where other processors are, a thread waits in Go's poller for what it brings, and for
// timers, those of this processor included. A yield by way of the poller would end that wait each time, and the thread would hand its
// processor to the loop, and wait no longer: timers of others fired seconds too late. So the loop goes through the scheduler
// alone, which fires the timers of its processor, and through the poller only if the loops may have all processors.
func (c *company) yield(procs, loops int) {
	if procs > 1 {
		c.gosched()
	}
	if procs <= loops {
		c.driver.Yield()
	}
}

func (c *company) endSpan(now int64, pause, only bool) {
	least := leastLocked
	switch {
	case c.rule:
		least = leastMoves
	case c.single:
		least = leastLockedSingle
	}
	n := c.sleeps - c.broken
	c.dense = n >= leastMoves
	c.often = !pause && (n >= least || c.often && n >= least/2)
	if c.often && only {
		c.monitor.watch(c.span, now, c.sleeps)
	}
	c.span, c.sleeps, c.broken = now, 0, 0
}

// atWork reports whether others are at work with the loop.
func (c *company) atWork(writes uint64) bool {
	if now := c.tasks + writes; now != c.seen {
		c.seen, c.left = now, stays
	} else if c.left > 0 {
		c.left--
	}
	return c.left > 0
}

// newReady returns a function that reports whether a goroutine waits for a processor. It allocates nothing.
func newReady() func() bool {
	sample := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}} // since Go 1.26
	ready := func() bool {
		metrics.Read(sample)
		return sample[0].Value.Kind() == metrics.KindUint64 && sample[0].Value.Uint64() > 0
	}
	ready() // the first time allocates
	return ready
}
