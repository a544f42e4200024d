package backend

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What happens in one turn, as a driver sees it that counts looks.

// busyFor keeps the processor for d.
func busyFor(d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; {
	}
}

// looker is a driver that calls back on every Poll, and never sleeps.
func looker(t *testing.T, look func(wait time.Duration)) *Loop {
	d := newFake()
	l := NewLoop(LoopConfig{Driver: &lookingDriver{d, look}, CPU: -1})
	require.NoError(t, l.Bind())
	t.Cleanup(func() { _ = l.TakeOver(within(t, 5*time.Second)); _ = l.End() })
	return l
}

type lookingDriver struct {
	*fakeDriver
	look func(time.Duration)
}

func (d *lookingDriver) Move() error { return nil }

func (d *lookingDriver) Poll(wait time.Duration) (int, error) { d.look(wait); return 0, nil }

// Tasks get a millisecond of a turn. What is left comes in the next, in order, before what was posted meanwhile, and
// without a sleep.
func TestTasksShareTheTurn(t *testing.T) {
	ran, perTurn := 0, 0
	l := looker(t, func(wait time.Duration) {
		assert.Zero(t, wait, "a sleep with %d tasks run", ran)
		perTurn = 0
	})
	const n, each = 30, 300 * time.Microsecond
	for i := range n {
		require.NoError(t, l.Post(TaskFunc(func() {
			assert.Equal(t, i, ran, "the order")
			ran++
			perTurn++
			assert.LessOrEqual(t, perTurn, 4, "tasks of 300 µs in one turn")
			if i == 3 {
				_ = l.Post(TaskFunc(func() { assert.Equal(t, n, ran); ran++ }))
			}
			busyFor(each)
		})))
	}
	for turns := 0; ran < n+1; turns++ {
		require.Less(t, turns, n+1, "turns")
		_, err := l.Step(-1)
		require.NoError(t, err)
	}
}

// A long task among short ones ends the share of them all.
func TestTasksShareWithALongOne(t *testing.T) {
	long := 0
	l := looker(t, func(time.Duration) { long = 0 })
	for i := range 100 {
		require.NoError(t, l.Post(TaskFunc(func() {
			if i%10 == 9 {
				long++
				assert.Equal(t, 1, long, "tasks of 2 ms in one turn")
				busyFor(2 * time.Millisecond)
			}
		})))
	}
	for !l.tasks.empty() {
		_, err := l.Step(0)
		require.NoError(t, err)
	}
}

// So do timers.
func TestTimersShareTheTurn(t *testing.T) {
	fired, perTurn, looks := 0, 0, 0
	l := looker(t, func(wait time.Duration) {
		looks++
		assert.Zero(t, wait, "a sleep with %d timers fired", fired)
		perTurn = 0
	})
	const n, each = 30, 300 * time.Microsecond
	for i := range n {
		l.StartTimer(&Timer{Fire: func() {
			assert.Equal(t, i, fired, "the order")
			fired++
			perTurn++
			assert.LessOrEqual(t, perTurn, 4, "timers of 300 µs in one turn")
			busyFor(each)
		}}, 0)
	}
	for turns := 0; fired < n; turns++ {
		require.Less(t, turns, n+1, "turns")
		_, err := l.Step(-1)
		require.NoError(t, err)
	}
	assert.GreaterOrEqual(t, looks, n/4)
}

// A task that is posted at the worst moment, right behind the loop's last look before it sleeps, wakes it.
func TestNoWakeUpIsLost(t *testing.T) {
	for _, spin := range []time.Duration{0, 20 * time.Microsecond} {
		slept, ran := 0, 0
		d := newFake()
		l := NewLoop(LoopConfig{Driver: d, Spin: spin, CPU: -1})
		look := func() (int, error) {
			select {
			case <-d.woken:
			default:
				if l.tasks.state.Load() == asleep {
					t.Error("the loop sleeps, and nothing wakes it for the task")
					l.Stop()
				}
			}
			return 0, nil
		}
		l.beforeSleep = func() {
			slept++
			d.poll = look // the next Poll is the sleep
			require.NoError(t, l.Post(TaskFunc(func() {
				ran++
				d.poll = nil
				if ran == 10 {
					l.Stop()
				}
			})))
		}
		require.NoError(t, l.Run())
		assert.Equal(t, 10, ran)
		assert.Equal(t, 10, slept)
		assert.EqualValues(t, 10, l.Total(WakeUps))
	}
}

// A task that comes just before the loop says that it sleeps wakes nobody. The last look sees it.
func TestNoSleepWithATask(t *testing.T) {
	d := &askedDriver{fakeDriver: newFake()}
	l := NewLoop(LoopConfig{Driver: d, CPU: -1})
	ran := false
	d.asked = func() {
		if !ran {
			ran = true
			_ = l.Post(TaskFunc(l.Stop))
		}
	}
	d.poll = func() (int, error) {
		if l.tasks.state.Load() == asleep {
			t.Error("the loop sleeps, with a task to run")
			l.Stop()
		}
		return 0, nil
	}
	require.NoError(t, l.Run())
	require.True(t, ran)
	require.Zero(t, l.Total(Sleeps))
}

// askedDriver calls back when a loop that is about to sleep asks for what is outstanding.
type askedDriver struct {
	*fakeDriver
	asked func()
}

func (d *askedDriver) Outstanding() Outstanding { d.asked(); return Outstanding{} }

// Who asks for the end of the next turn, while a turn ends, does not wait for a sleep.
func TestNoSleepBeforeATurnEnd(t *testing.T) {
	calls := 0
	l := looker(t, func(wait time.Duration) {
		if wait != 0 {
			assert.Equal(t, 5, calls, "ends of a turn before the loop sleeps")
		}
	})
	var again lateFunc
	again = func() {
		if calls++; calls < 5 {
			l.AtTurnEnd(again)
		}
	}
	l.AtTurnEnd(again)
	for range 5 {
		_, err := l.Step(-1)
		require.NoError(t, err)
	}
	assert.Equal(t, 5, calls)
}

// A sleep lasts until the next timer or as long as the caller allows, whichever is shorter.
func TestSleepEndsWithTheFirst(t *testing.T) {
	longest := time.Duration(0)
	l := looker(t, func(wait time.Duration) { longest = max(longest, wait) })
	timer := Timer{Fire: func() { t.Error("a timer fires an hour early") }}
	l.StartTimer(&timer, time.Hour)
	for _, wait := range []time.Duration{time.Minute, 2 * time.Hour, -1} {
		longest = 0
		_, err := l.Step(wait)
		require.NoError(t, err)
		if wait == time.Minute {
			assert.Equal(t, wait, longest)
			continue
		}
		assert.Greater(t, longest, time.Minute, "of a sleep that may last %v", wait)
		assert.LessOrEqual(t, longest, time.Hour, "of a sleep that may last %v", wait)
	}
}

// A timer that is further away than the clock can count does not fire.
func TestTimerBeyondTheEndOfTime(t *testing.T) {
	l := looker(t, func(time.Duration) {})
	timer := Timer{Fire: func() { t.Error("it fires") }}
	for _, d := range []time.Duration{1<<63 - 1, 1<<63 - 2} {
		l.StartTimer(&timer, d)
		_, err := l.Step(0)
		require.NoError(t, err)
		assert.True(t, timer.Active(), "a timer in %d ns", d)
	}
}

// LongestTurn counts what a turn works, and not what it sleeps or spins.
func TestLongestTurn(t *testing.T) {
	for name, c := range map[string]LoopConfig{"sleeps": {CPU: -1}, "spins": {CPU: -1, Spin: 100 * time.Millisecond}} {
		t.Run(name, func(t *testing.T) {
			c.Driver = newFake()
			l := NewLoop(c)
			var idle, busy Timer
			var before time.Duration
			const pause, work = 200 * time.Millisecond, 20 * time.Millisecond
			idle.Fire = func() {
				before = l.LongestTurn()
				l.StartTimer(&busy, time.Millisecond)
			}
			busy.Fire = func() { busyFor(work); l.Stop() }
			require.NoError(t, l.Post(TaskFunc(func() { l.StartTimer(&idle, pause) })))
			require.NoError(t, l.Run())
			assert.Less(t, before, pause, "with a pause of 200 ms")
			assert.GreaterOrEqual(t, l.LongestTurn(), work)
		})
	}
}

func TestLongest(t *testing.T) {
	var m Longest
	for _, step := range []struct {
		ns   int64
		more bool
	}{{5, true}, {5, false}, {3, false}, {7, true}} {
		assert.Equal(t, step.more, m.Note(step.ns))
	}
	assert.EqualValues(t, 7, m.Load())
}

// Tick remembers what Clock told, for LastTick.
func TestTick(t *testing.T) {
	l := NewLoop(LoopConfig{Driver: newFake(), CPU: -1})
	require.Zero(t, l.LastTick())
	before := l.Clock()
	now := l.Tick()
	require.LessOrEqual(t, before, now)
	require.Equal(t, now, l.LastTick())
	require.LessOrEqual(t, now, l.Clock())
}

// busyDriver has an event in each Poll, and a socket.
type busyDriver struct{ *fakeDriver }

func (busyDriver) Outstanding() Outstanding                      { return Outstanding{Sockets: 7} }
func (d *busyDriver) Poll(time.Duration) (events int, err error) { return 1, nil }

// A loop that is too busy to sleep shows what its driver has out.
func TestOutstandingOfABusyLoop(t *testing.T) {
	l := NewLoop(LoopConfig{Driver: &busyDriver{newFake()}, CPU: -1})
	require.NoError(t, l.Bind())
	defer func() { _ = l.End() }()
	for range leftEvery {
		_, err := l.Step(0)
		require.NoError(t, err)
	}
	assert.Equal(t, 7, l.Outstanding().Sockets)
}
