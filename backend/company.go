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
// only loop of the process, and if that sleeps often. What becomes ready during such a sleep, by a timer or by Go's poller,
// may have to wait for the end of a window. If the poller had others to run then, the loop parks for a while.
//
// At the end of each window a loop that sleeps often yields: others that are ready run, what a timer or the poller has for
// them included. It saves time, too. Of a goroutine that has not gone through the scheduler for 10 ms the monitor takes the
// processor in each system call that it sees, and then it looks every 20 µs, on a thread of its own; retake and sysmon in
// runtime/proc.go. That was up to a quarter of all CPU time.
type company struct {
	driver ParkingDriver // nil: the driver has one way to sleep
	rule   bool          // it parks as a rule
	clock  func() int64  // Loop.Clock
	tasks  uint64        // that the loop has run
	seen   uint64        // tasks and writes as of the last sleep
	left   int           // how many sleeps are yet to be parked because others were at work

	window int64 // nanoseconds
	least  int   // how many sleeps in a window are often
	since  int64 // when the present window began
	sleeps int   // in the present window
	last   int64 // what the loop had read of its clock by the last sleep
	often  bool  // the loop slept often in the window before
	single bool  // there was one processor when that ended
	until  int64 // until when sleeps are parked because the poller had others to run

	ready func() bool // whether a goroutine waits for a processor
}

const (
	stays = 16 // for how many sleeps others are taken to be at work after they have last been seen

	// How many sleeps are often, in a window. Sleeps of more than some 50 µs in which a loop keeps the only processor wake
	// the monitor, which costs more than to park.
	leastMoves  = 16
	leastLocked = 4

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
		c.rule, c.window, c.least = true, windowMoves, leastMoves
	case ParksInCompany:
		c.window, c.least = windowLocked, leastLocked
	}
	c.driver, c.clock = driver, clock
	c.ready = newReady()
	loops.Add(1)
}

// close is for a loop that has ended. It can be called again.
func (c *company) close() {
	if c.driver != nil {
		c.driver = nil
		loops.Add(-1)
	}
}

// loops is how many loops of this process have a ParkingDriver that parks.
var loops atomic.Int64

// beforeSleep tells the driver how to sleep next, or reports that it has yielded: others may have run for long, and the
// loop has to see what is due before it sleeps. Now is when the loop last read its clock, which it does in a turn that has
// callbacks or timers.
func (c *company) beforeSleep(writes uint64, now int64) (yielded bool) {
	c.sleeps++
	if now != c.last {
		c.last = now
	} else {
		now = c.clock()
	}
	if now-c.since >= c.window && c.endWindow(now) {
		return true
	}
	c.driver.Park(c.atWork(writes) || c.rule && (!c.often || now < c.until) || c.single && c.ready())
	return false
}

func (c *company) endWindow(now int64) (yielded bool) {
	c.often = c.sleeps >= c.least && now-c.since < 2*c.window
	c.since, c.sleeps = now, 0
	c.single = runtime.GOMAXPROCS(0) == 1 // another processor would run whoever is ready
	if c.rule && (!c.single || loops.Load() > 1) {
		c.often = false
	}
	if !c.often || now < c.until {
		return false
	}
	c.driver.Yield()
	if c.rule && c.ready() {
		c.until = now + othersStay
	}
	return true
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
