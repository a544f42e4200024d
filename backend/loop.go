package backend

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// EndTurner is work that waits for the end of a loop turn.
type EndTurner interface{ EndTurn() }

// LoopConfig says how a loop runs.
type LoopConfig struct {
	Driver Driver
	Spin   time.Duration // look this long without sleeping before sleeping
	CPU    int           // run on this CPU only; -1: anywhere
}

// Loop runs one Driver on one goroutine, in turns:
//
//	tasks, timers ─► end of turn ─► Poll: a look; if it saw nothing, a spin; then a sleep ─► end of turn ─► …
//	                                  └─► events ─► callbacks
//
// Fields and methods belong to that goroutine, unless the comment says otherwise.
type Loop struct {
	Driver Driver
	Pool   Pool     // any goroutine
	Count  Counters // what happened since the last turn's end

	cfg      LoopConfig
	owner    atomic.Uintptr // the goroutine that runs the loop, 0 if none does now
	tasks    tasks
	timers   Timers
	begin    time.Time
	turn     uint64
	looks    uint64      // Polls of the driver that have returned
	late     []EndTurner // for this turn's end
	spare    []EndTurner
	shared   sharedCounters
	left     [3]atomic.Int64 // Outstanding, when the loop last went to sleep or ended
	stop     bool
	stepping bool
	failed   error
	done     chan struct{}
}

// NewLoop makes a loop. Either Run or Bind comes next.
func NewLoop(cfg LoopConfig) *Loop {
	return &Loop{Driver: cfg.Driver, cfg: cfg, begin: time.Now(), done: make(chan struct{})}
}

// Here reports whether the caller runs on the loop's goroutine. Any goroutine may ask.
func (l *Loop) Here() bool { return l.owner.Load() == goroutine() }

// Post runs t on the loop's goroutine, after all that was posted before. It returns net.ErrClosed if the loop has
// ended; then t never runs. Any goroutine; it does not block.
func (l *Loop) Post(t Task) error {
	wake, err := l.tasks.push(t)
	if wake {
		l.shared[WakeUps].Add(1)
		l.Driver.Wake()
	}
	return err
}

// Late has e.EndTurn called when this turn ends; asked for during that, when the next one ends, which then comes
// without a sleep.
func (l *Loop) Late(e EndTurner) { l.late = append(l.late, e) }

// Turn numbers the turns.
func (l *Loop) Turn() uint64 { return l.turn }

// Looks counts how often the driver was asked for events and has reported them.
func (l *Loop) Looks() uint64 { return l.looks }

// Clock reads the loop's monotonic clock, in nanoseconds. Any goroutine.
func (l *Loop) Clock() int64 { return int64(time.Since(l.begin)) + 1 }

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

// Run runs the loop on the calling goroutine until Stop. The error says why the driver could not go on.
func (l *Loop) Run() error {
	if err := l.Bind(); err != nil {
		return l.Abandon()
	}
	for !l.stop {
		if _, err := l.Step(-1); err != nil {
			l.failed = err
			break
		}
	}
	return l.End()
}

// Bind makes the calling goroutine the loop's. With a CPU set it also locks it to its thread. A loop that could not
// start never will: Abandon ends it.
func (l *Loop) Bind() error {
	if l.failed != nil {
		return l.failed
	}
	l.owner.Store(goroutine())
	if l.failed = l.start(); l.failed != nil {
		l.owner.Store(0)
	}
	return l.failed
}

func (l *Loop) start() error {
	if l.cfg.CPU >= 0 {
		runtime.LockOSThread()
		if err := setAffinity(l.cfg.CPU); err != nil {
			runtime.UnlockOSThread()
			return fmt.Errorf("loop: run on CPU %d: %w", l.cfg.CPU, err)
		}
	}
	return l.Driver.Start(&l.Count)
}

// Abandon is End for a loop that could not start: what was posted never runs.
func (l *Loop) Abandon() error {
	l.tasks.abandon()
	return l.End()
}

// Bound reports whether a goroutine runs the loop. Any goroutine.
func (l *Loop) Bound() bool { return l.owner.Load() != 0 }

// Stepping reports whether a turn is running, so that the caller, if it is on the loop's goroutine, is a callback.
func (l *Loop) Stepping() bool { return l.stepping }

// Step runs one turn, which sleeps at most wait, for ever if wait is negative, and returns how many events there were.
func (l *Loop) Step(wait time.Duration) (int, error) {
	l.turn++
	l.stepping = true
	defer func() { l.stepping = false }()
	l.Count[Turns]++
	n := l.runTasks()
	n += l.expire()
	l.endTurn()
	if l.stop {
		return n, nil
	}
	events, err := l.poll(wait, n > 0)
	if err != nil {
		return n, fmt.Errorf("loop: %w", err)
	}
	n += events
	n += l.expire()
	l.endTurn()
	l.shared.publish(&l.Count)
	return n, nil
}

func (l *Loop) runTasks() int {
	batch := l.tasks.take()
	for _, t := range batch {
		t.Run()
	}
	return len(batch)
}

func (l *Loop) expire() int {
	if l.timers.Len() == 0 {
		return 0
	}
	n := l.timers.Expire(l.Clock())
	l.Count[TimersFired] += uint64(n)
	return n
}

func (l *Loop) endTurn() {
	batch := l.late
	if len(batch) == 0 {
		return
	}
	l.late = l.spare[:0]
	for _, e := range batch {
		e.EndTurn()
	}
	clear(batch)
	l.spare = batch
}

// poll looks, then spins, then sleeps, each only if the one before saw nothing.
func (l *Loop) poll(wait time.Duration, worked bool) (int, error) {
	n, err := l.look(0)
	if n > 0 || err != nil || worked || wait == 0 || l.busy() {
		return n, err
	}
	if l.cfg.Spin > 0 {
		if n, err = l.spin(wait); n > 0 || err != nil || l.busy() {
			return n, err
		}
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
	return l.sleep(wait)
}

// busy reports whether there is work that no event will announce.
func (l *Loop) busy() bool { return len(l.late) > 0 || !l.tasks.empty() || l.stop }

func (l *Loop) spin(wait time.Duration) (int, error) {
	end := l.Clock() + int64(l.cfg.Spin)
	if next, ok := l.timers.Next(); ok && next < end {
		end = next
	}
	if limit := l.Clock() + int64(wait); wait > 0 && limit < end {
		end = limit
	}
	for {
		for range 16 {
			if n, err := l.look(0); n > 0 || err != nil || !l.tasks.empty() {
				return n, err
			}
		}
		if l.Clock() >= end {
			return 0, nil
		}
	}
}

// sleep tells pushers that a wake-up is needed, looks once more, and only then sleeps: a task is either seen here or
// its pusher sees the loop asleep.
func (l *Loop) sleep(wait time.Duration) (int, error) {
	l.settle()
	l.tasks.state.Store(asleep)
	defer l.tasks.state.Store(awake)
	if !l.tasks.empty() {
		return 0, nil
	}
	l.Count[Sleeps]++
	return l.look(wait)
}

func (l *Loop) look(wait time.Duration) (int, error) {
	l.Count[Polls]++
	n, err := l.Driver.Poll(wait)
	l.looks++
	return n, err
}

// settle shows others what a loop that has nothing to do has counted and has out.
func (l *Loop) settle() {
	l.shared.publish(&l.Count)
	o := l.Driver.Outstanding()
	l.left[0].Store(int64(o.Sockets))
	l.left[1].Store(int64(o.Requests))
	l.left[2].Store(int64(o.Buffers))
}

// Outstanding is what the driver had out when the loop last went to sleep, or ended. Any goroutine.
func (l *Loop) Outstanding() Outstanding {
	return Outstanding{Sockets: int(l.left[0].Load()), Requests: int(l.left[1].Load()), Buffers: int(l.left[2].Load())}
}

// Stop ends Run after this turn.
func (l *Loop) Stop() { l.stop = true }

// End runs what is still posted, refuses more, and closes the driver. Run calls it by itself.
func (l *Loop) End() error {
	for !l.tasks.close() {
		l.runTasks()
		l.endTurn()
	}
	l.settle()
	err := errors.Join(l.failed, l.Driver.Close())
	l.owner.Store(0)
	close(l.done)
	return err
}

// Done is closed when the loop has ended.
func (l *Loop) Done() <-chan struct{} { return l.done }

// ErrOnLoop is returned by a call that waits for a loop when it is made on that loop's goroutine.
var ErrOnLoop = fmt.Errorf("called from a callback of the loop that it would wait for: %w", errors.ErrUnsupported)
