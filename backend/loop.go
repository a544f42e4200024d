package backend

import (
	"sync"
	"sync/atomic"
	"time"
)

// TurnEnder is work that waits for the end of a loop turn.
type TurnEnder interface{ OnTurnEnd() }

// LoopConfig says how a loop runs.
type LoopConfig struct {
	Driver Driver
	Spin   time.Duration // poll this long without sleeping before sleeping; see spinning
	CPU    int           // run on this CPU only; -1: anywhere
	Clock  Clock         // nil: SystemClock

	// Culprit names the callback that runs now, for the error of a loop whose goroutine it has ended. nil: nobody knows.
	Culprit func() string

	// Call calls a Func that was posted, in place of its Run. nil: Run does.
	Call func(fn func())

	// Roused is called on the loop's goroutine when a callback begins that is the first one since the loop rested (see
	// Resting). nil: nobody watches the loop, and it says nothing of its rests.
	Roused func()

	// Died is called on the loop's goroutine when the loop has died (see Loop), with what Err returns: by then the
	// driver is closed, and Driver is one that refuses everything. Died ends whatever still waits for the loop. If a
	// callback that it makes ends the goroutine, it is called again, on another one, for what is left. nil: nothing.
	Died func(err error)
}

// Loop runs one Driver on one goroutine, in turns:
//
//	tasks ─► end of turn ─► Poll: a look; if it saw nothing, a spin; then a sleep ─► timers ─► end of turn ─► …
//	                         └─► events ─► callbacks
//
// Tasks and timers get at most a millisecond of a turn each; what is left of them comes, in order, in the next turn,
// which then does not sleep.
//
// # How a loop ends
//
// A loop ends in one of two ways. Both run every task that Post has accepted, once, and refuse more with net.ErrClosed;
// close the driver; let the thread go; and close Done, last.
//
//	Stop, End        tasks ─► driver closed ─────────────────► Done      Err is nil
//	the loop dies    driver closed ─► tasks ─► LoopConfig.Died ─► Done   Err says why
//
// A loop dies if its driver cannot start or go on, if a callback ends its goroutine (runtime.Goexit: [ErrGoexit]), if
// somebody calls Fail, and if another goroutine takes it over whose thread the driver cannot run on ([ErrThread]).
// Where the driver is closed first, Loop.Driver becomes one that refuses sockets and bytes and answers Release with
// Released before Done is closed. Sockets whose Released was outstanding when the driver was closed never get it.
//
// All of that happens on the loop's goroutine, in deferred functions if it is being ended, so that OnLoop holds in every
// callback. If a callback of this last part calls Goexit too, a new goroutine becomes the loop's and goes on. When Done
// is closed the loop is no goroutine's any longer.
//
// A panic is passed on and ends nothing: a caller of Step that recovers may go on.
//
// # Loops that are stepped
//
// A loop whose user calls Bind and then Step stays that goroutine's between turns. TakeOver makes it another's.
//
// Fields and methods belong to the loop's goroutine, unless the comment says otherwise.
type Loop struct {
	Driver  Driver
	Sockets Sockets  // of the Driver, also after the loop's end; any goroutine
	Time    Clock    // any goroutine
	Pool    Pool     // any goroutine
	Count   Counters // what happened since the last turn's end

	cfg    LoopConfig
	signs  signs
	owner  atomic.Uintptr // the goroutine that runs the loop, 0 if none does now
	phase  atomic.Uint32
	wanted atomic.Int32 // TakeOver calls that wait
	unpin  func()       // gives the thread its affinity back; nil: nothing to give back

	tasks      tasks
	timers     Timers
	share      share
	spent      func() bool // share.spent, made once
	begin      time.Time
	turn       uint64
	polls      uint64      // calls of Driver.Poll that have returned
	turnEnders []TurnEnder // for this turn's end
	ending     []TurnEnder // those whose OnTurnEnd is being called; ending[:ended] have been
	ended      int

	shared      sharedCounters
	lags        sharedLags
	left        [4]atomic.Int64 // Outstanding, when the loop last went to sleep or ended
	awake       int64           // when the present turn began to work, 0: not known yet
	longest     Longest         // of turns
	now         int64           // the latest Tick
	company     company
	spinning    spinning
	beforeSleep func() // called after the last look at the tasks before a sleep; nil: nobody asks

	stop   bool
	failed bool
	buried bool // Died has returned
	done   chan struct{}
	mu     sync.Mutex // guards err
	err    error
}

// NewLoop makes a loop. Either Run or Bind comes next.
func NewLoop(cfg LoopConfig) *Loop {
	l := &Loop{Driver: cfg.Driver, Sockets: cfg.Driver, Time: cfg.Clock, cfg: cfg, done: make(chan struct{})}
	if l.Time == nil {
		l.Time = SystemClock{}
	}
	l.begin = l.Time.Now()
	l.spent = l.shareSpent
	l.tasks.timed = l.timed
	l.rest()
	l.company.open(cfg.Driver, l.Clock)
	_, moves := cfg.Driver.(Mover)
	l.spinning.yields = moves && cfg.CPU < 0
	if s, ok := cfg.Driver.(Sleeper); ok {
		l.beforeSleep = s.BeforeSleep
	}
	return l
}

// Post runs t on the loop's goroutine, once, after all that was posted before. It returns net.ErrClosed if the loop has
// ended or is about to; then t never runs. Any goroutine; it does not block.
func (l *Loop) Post(t Task) error {
	wake, err := l.tasks.push(t)
	if wake {
		l.shared[WakeUps].Add(1)
		l.cfg.Driver.Wake()
	}
	return err
}

// AtTurnEnd schedules e.OnTurnEnd for the end of this turn. If it is called while the turn is ending, it schedules for the
// next turn, which starts without sleeping.
func (l *Loop) AtTurnEnd(e TurnEnder) { l.turnEnders = append(l.turnEnders, e) }

// Turn numbers the turns.
func (l *Loop) Turn() uint64 { return l.turn }

// Polls counts how often the driver was asked for events and has reported them.
func (l *Loop) Polls() uint64 { return l.polls }

// StartTimer has t fire in d from now; never earlier, and as soon after as the loop is free. It restarts an active t.
func (l *Loop) StartTimer(t *Timer, d time.Duration) {
	when := l.Clock()
	if d > 0 {
		if when += int64(d); when < 0 {
			when = 1<<63 - 1
		}
	}
	l.timers.Start(t, when)
}

// StopTimer stops t and reports whether it was active.
func (l *Loop) StopTimer(t *Timer) bool { return l.timers.Stop(t) }

// CountShared adds to a counter from any goroutine.
func (l *Loop) CountShared(c Counter, n int) { l.shared[c].Add(uint64(n)) }

// Total is a counter's value as of the end of the last turn. Any goroutine.
func (l *Loop) Total(c Counter) uint64 { return l.shared[c].Load() }

// Run runs the loop on the calling goroutine until Stop, and returns what Err does. The loop has ended then: Done is
// closed.
func (l *Loop) Run() error {
	if err := l.Bind(); err != nil {
		return err
	}
	if !l.claim(loopTurning) {
		return l.whyNot()
	}
	for !l.stop && !l.failed {
		if _, err := l.runTurn(-1); err != nil {
			l.Fail(err)
		}
	}
	l.finish()
	return l.Err()
}

// runTurn runs one turn. If a callback ends the goroutine, the loop dies before the goroutine does.
func (l *Loop) runTurn(wait time.Duration) (n int, err error) {
	whole := false
	defer l.leave(&whole)
	l.turn++
	l.Count[Turns]++
	n = l.runTasks()
	l.endTurn()
	if !l.stop && !l.failed {
		var events int
		if events, err = l.poll(wait, n > 0); err == nil {
			n += events + l.expire()
			l.endTurn()
		}
	}
	l.measure(n > 0)
	l.shared.publish(&l.Count)
	if l.turn%leftEvery == 0 { // it may not sleep for long
		l.publishLeft()
	}
	whole = true
	return n, err
}

// runTasks runs those that were posted before, as many as a share of the turn allows.
func (l *Loop) runTasks() (n int) {
	left := l.tasks.take()
	if left > 1 {
		l.beginShare(l.Tick())
	}
	for ; left > 0; left-- {
		l.runTask(l.tasks.next())
		l.company.tasks++
		n++
		if left > 1 && l.spent() {
			break
		}
	}
	return n
}

func (l *Loop) runTask(t Task) {
	if fn, ok := t.(Func); ok && l.cfg.Call != nil {
		l.cfg.Call(fn)
		return
	}
	t.Run()
}

func (l *Loop) expire() int {
	if l.timers.Len() == 0 {
		return 0
	}
	now := l.Tick()
	l.beginShare(now)
	n := l.timers.Expire(now, l.spent)
	l.Count[TimersFired] += uint64(n)
	return n
}

// endTurn calls those that AtTurnEnd has scheduled. If one of them panics or ends the goroutine, the rest are called next
// time.
func (l *Loop) endTurn() {
	if l.ended == len(l.ending) {
		if len(l.turnEnders) == 0 {
			return
		}
		l.ending, l.turnEnders, l.ended = l.turnEnders, l.ending[:0], 0
	}
	for l.ended < len(l.ending) {
		e := l.ending[l.ended]
		l.ending[l.ended] = nil
		l.ended++
		e.OnTurnEnd()
	}
}

// poll looks, then spins, then sleeps, each only if the one before saw nothing.
func (l *Loop) poll(wait time.Duration, worked bool) (n int, err error) {
	if l.company.looks() || worked || wait == 0 || l.cfg.Spin > 0 {
		n, err = l.pollDriver(0)
	}
	if n > 0 || worked {
		l.spinning.fresh = true
	}
	if n > 0 || err != nil || worked || wait == 0 || l.busy() {
		return n, err
	}
	if next, ok := l.timers.Next(); ok {
		d := time.Duration(next - l.Clock())
		if d <= 0 {
			return 0, nil
		}
		if wait < 0 || d < wait {
			wait = d
		}
	}
	if l.cfg.Spin > 0 {
		limit := l.spinFor(wait)
		if n, err = l.spin(limit); n > 0 || err != nil || l.busy() {
			return n, err
		}
		if wait > 0 {
			if wait -= limit; wait <= 0 {
				return 0, nil
			}
		}
	}
	n, err = l.sleep(wait)
	if n > 0 {
		l.spinning.fresh = true
	}
	return n, err
}

// busy reports whether there is work that no event will announce.
func (l *Loop) busy() bool {
	return len(l.turnEnders) > 0 || l.ended < len(l.ending) || !l.tasks.empty() || l.stop || l.failed
}

// sleep tells pushers that a wake-up is needed, looks once more, and only then sleeps: a task is either seen here or
// its pusher sees the loop asleep.
func (l *Loop) sleep(wait time.Duration) (int, error) {
	l.publishIdle()
	l.tasks.state.Store(asleep)
	defer l.tasks.state.Store(awake)
	if !l.lastLook() {
		return 0, nil
	}
	l.awake = 0
	l.rest()
	if l.company.driver != nil && l.company.beforeSleep(l.shared[DirectWrites].Load(), l.now) {
		return l.pollDriver(0)
	}
	l.Count[Sleeps]++
	n, err := l.pollDriver(wait)
	l.company.afterSleep(n, wait)
	return n, err
}

// lastLook reports whether nothing has been posted.
func (l *Loop) lastLook() bool {
	empty := l.tasks.empty()
	if l.beforeSleep != nil {
		l.beforeSleep()
	}
	return empty
}

func (l *Loop) pollDriver(wait time.Duration) (int, error) {
	l.Count[Polls]++
	l.Answer()
	n, err := l.Driver.Poll(wait)
	l.polls++
	return n, err
}

// publishIdle shows others what a loop that has nothing to do has counted and has out.
func (l *Loop) publishIdle() {
	l.shared.publish(&l.Count)
	l.publishLeft()
}

// leftEvery is after how many turns a loop shows what its driver has out, besides before each sleep.
const leftEvery = 64

func (l *Loop) publishLeft() {
	o := l.Driver.Outstanding()
	l.left[0].Store(int64(o.Sockets))
	l.left[1].Store(int64(o.Requests))
	l.left[2].Store(int64(o.Buffers))
	l.left[3].Store(int64(o.Starved))
}

// Outstanding is what the driver had out when the loop last went to sleep, or ended; of a loop that never sleeps, some
// turns ago. Any goroutine.
func (l *Loop) Outstanding() Outstanding {
	return Outstanding{
		Sockets: int(l.left[0].Load()), Requests: int(l.left[1].Load()), Buffers: int(l.left[2].Load()), Starved: int(l.left[3].Load()),
	}
}

// Stop ends Run after this turn.
func (l *Loop) Stop() { l.stop = true }
