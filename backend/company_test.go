package backend

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parkingDriver notes how each of its sleeps is.
type parkingDriver struct {
	*fakeDriver
	parks    Parking
	mode     SleepMode
	sleeps   []SleepMode
	yields   int
	goscheds int
	looks    int
	ready    bool                     // whether others are ready to run
	events   int                      // of each sleep
	switches int64                    // of the process
	yield    func()                   // what else Yield does; nil: nothing
	sleep    func(wait time.Duration) // what else a sleep does; nil: nothing
}

func (d *parkingDriver) Parks() Parking { return d.parks }

func (d *parkingDriver) SleepAs(m SleepMode) { d.mode = m }

func (d *parkingDriver) Yield() {
	d.yields++
	if d.yield != nil {
		d.yield()
	}
}

func (d *parkingDriver) Poll(wait time.Duration) (int, error) {
	if wait != 0 {
		d.sleeps = append(d.sleeps, d.mode)
		if d.sleep != nil {
			d.sleep(wait)
		}
		return d.events, nil
	}
	d.looks++
	return 0, nil
}

// A loop parks in its next sleep once others have posted to it or written to its streams, and for some sleeps more.
func TestLoopParksInCompany(t *testing.T) {
	d := &parkingDriver{fakeDriver: newFake(), parks: ParksInCompany}
	l := NewLoop(LoopConfig{Driver: d, CPU: -1})
	l.company.ready, l.company.monitor.switches = func() bool { return false }, func() int64 { return 0 }
	require.NoError(t, l.Bind())
	defer func() { _ = l.End() }()
	sleep := func(times int) []SleepMode {
		t.Helper()
		d.sleeps = nil
		for len(d.sleeps) < times {
			_, err := l.Step(time.Hour)
			require.NoError(t, err)
		}
		return d.sleeps
	}
	assert.NotContains(t, sleep(3), Parked, "alone from the start")
	for name, others := range map[string]func(){
		"a task":  func() { require.NoError(t, l.Post(TaskFunc(func() {}))) },
		"a write": func() { l.CountShared(DirectWrites, 1) },
	} {
		others()
		assert.NotContains(t, sleep(stays), Blocked, name)
		assert.NotContains(t, sleep(3), Parked, "alone again after %s", name)
	}
}

// oftenEvery is how long each sleep of a loop that sleeps often takes.
const oftenEvery = 50 * time.Microsecond

// sleepOften has a loop sleep, every 50 µs, and returns how.
func sleepOften(t *testing.T, d *parkingDriver, l *Loop, c *handClock, times int) []SleepMode {
	t.Helper()
	return sleepEvery(t, d, l, c, oftenEvery, times)
}

func sleepEvery(t *testing.T, d *parkingDriver, l *Loop, c *handClock, each time.Duration, times int) []SleepMode {
	t.Helper()
	d.sleeps, d.yields = nil, 0
	for steps := 0; len(d.sleeps) < times; steps++ {
		require.Less(t, steps, 3*times+10, "the loop does not sleep")
		c.now = c.now.Add(each)
		l.Tick() // as whoever has something to do in the turn
		_, err := l.Step(time.Hour)
		require.NoError(t, err)
	}
	return d.sleeps
}

// aloneOn makes a loop, on a number of processors, whose clock moves by hand.
func aloneOn(t *testing.T, processors int, p Parking) (*parkingDriver, *Loop, *handClock) {
	t.Helper()
	before := runtime.GOMAXPROCS(processors)
	d, c := &parkingDriver{fakeDriver: newFake(), parks: p}, &handClock{now: time.Unix(1000, 0)}
	l := NewLoop(LoopConfig{Driver: d, CPU: -1, Clock: c})
	require.NoError(t, l.Bind())
	t.Cleanup(func() {
		_ = l.End()
		runtime.GOMAXPROCS(before)
	})
	l.company.monitor.switches = func() int64 { return d.switches }
	l.company.gosched = func() { d.goscheds++ }
	l.company.ready = func() bool { return d.ready } // other than in this process, where the garbage collector runs, too
	return d, l, c
}

// A loop that sleeps often, on the only processor, does not park, and yields at the end of each millisecond.
func TestLoopThatSleepsOftenDoesNotPark(t *testing.T) {
	d, l, c := aloneOn(t, 1, ParksAsARule)
	assert.NotContains(t, sleepOften(t, d, l, c, 300), Blocked, "at first")
	sleepOften(t, d, l, c, 40)
	assert.NotContains(t, sleepOften(t, d, l, c, 200), Parked)
	assert.InDelta(t, 10, d.yields, 1)

	sleepEvery(t, d, l, c, 3*time.Millisecond, 20) // longer than two windows
	assert.NotContains(t, d.sleeps, Blocked, "seldom")
	assert.Zero(t, d.yields)
}

// Other processors search for work before they sleep, and so a driver for which parking is the rule parks.
func TestLoopParksBesideOtherProcessors(t *testing.T) {
	d, l, c := aloneOn(t, 2, ParksAsARule)
	assert.NotContains(t, sleepOften(t, d, l, c, 100), Blocked)
	assert.Zero(t, d.yields)
}

// A loop whose driver parks only in company yields all the same, because the runtime's monitor watches it: by way of Go's poller
// only if nobody else waits there.
func TestLoopInNoCompanyYields(t *testing.T) {
	for name, c := range map[string]struct{ processors, loops, yields, goscheds int }{
		"the only processor":    {1, 1, 10, 0},
		"a processor to spare":  {2, 1, 0, 10},
		"a loop each":           {2, 2, 10, 10},
		"one to spare for both": {3, 2, 0, 10},
	} {
		t.Run(name, func(t *testing.T) {
			for range c.loops - 1 {
				aloneOn(t, c.processors, ParksInCompany)
			}
			d, l, clock := aloneOn(t, c.processors, ParksInCompany)
			sleepOften(t, d, l, clock, 340)
			d.goscheds = 0
			assert.NotContains(t, sleepOften(t, d, l, clock, 800), Parked)
			assert.InDelta(t, c.yields, d.yields, 1)
			assert.InDelta(t, c.goscheds, d.goscheds, 1)
		})
	}
}

// A goroutine that is ready to run is not kept from it by a sleep.
func TestLoopParksForTheReady(t *testing.T) {
	for _, p := range []Parking{ParksAsARule, ParksInCompany} {
		d, l, c := aloneOn(t, 1, p)
		sleepOften(t, d, l, c, 345) // and not at the end of a window
		d.ready = true
		assert.Equal(t, []SleepMode{Parked}, sleepOften(t, d, l, c, 1))
		d.ready = false
		assert.Equal(t, []SleepMode{Blocked}, sleepOften(t, d, l, c, 1))
	}
}

// The function of newReady reports whether a goroutine is ready to run.
func TestReady(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	ready := newReady()
	idle := func() bool {
		runtime.Gosched()
		return !ready()
	}
	for range 1000 { // while the runtime has something to do itself
		if idle() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	require.True(t, idle(), "somebody is ready all the time")
	for range 100 {
		var ran atomic.Bool
		go ran.Store(true)
		if is := ready(); !ran.Load() { // otherwise it has run, and this says nothing
			assert.True(t, is)
			break
		}
	}
	assert.Zero(t, testing.AllocsPerRun(100, func() { ready() }))
}

// Where Go's poller has had others to run, the loop parks for a tenth of a second, if there is no other processor for them.
func TestLoopParksForThoseOfThePoller(t *testing.T) {
	t.Run("as a rule", func(t *testing.T) {
		d, l, c := aloneOn(t, 1, ParksAsARule)
		sleepOften(t, d, l, c, 340)
		d.yield = func() { d.ready = true }
		for range 100 {
			if sleepOften(t, d, l, c, 1); d.yields > 0 {
				break
			}
		}
		require.Equal(t, 1, d.yields)
		d.yield, d.ready = nil, false
		assert.NotContains(t, sleepOften(t, d, l, c, 1920), Blocked)
		assert.Zero(t, d.yields)
		sleepOften(t, d, l, c, 160)
		assert.NotContains(t, sleepOften(t, d, l, c, 100), Parked)
	})
	for name, c := range map[string]struct {
		each time.Duration
		want SleepMode
	}{"in company, less often": {400 * time.Microsecond, Parked}, "in company, very often": {oftenEvery, Blocked}} {
		t.Run(name, func(t *testing.T) {
			d, l, clock := aloneOn(t, 1, ParksInCompany)
			sleep := func(times int) []SleepMode { return sleepEvery(t, d, l, clock, c.each, times) }
			sleep(700)
			d.yield = func() { d.ready = true }
			for range 200 {
				if sleep(1); d.yields > 0 {
					break
				}
			}
			require.Equal(t, 1, d.yields)
			d.yield, d.ready = nil, false
			assert.Equal(t, c.want, sleep(2)[1])
		})
	}
}

// A driver that never parks is not asked to, and does not yield.
func TestDriverThatNeverParks(t *testing.T) {
	d, l, c := aloneOn(t, 1, ParksNever)
	d.mode = Parked
	assert.NotContains(t, sleepOften(t, d, l, c, 100), Blocked, "SleepAs was called")
	assert.Zero(t, d.yields)
}

// Others may run for long while a loop yields. A timer that has become due meanwhile does not wait for the end of a sleep.
func TestTimerDoesNotWaitForASleepBehindAYield(t *testing.T) {
	for _, p := range []Parking{ParksAsARule, ParksInCompany} {
		d, l, c := aloneOn(t, 1, p)
		sleepOften(t, d, l, c, 340)
		const due, others = 30 * time.Millisecond, 50 * time.Millisecond
		d.yields, d.yield = 0, func() { c.now = c.now.Add(others) }
		d.sleep = func(wait time.Duration) {
			if d.yields > 0 {
				c.now = c.now.Add(wait)
			}
		}
		var began, fired time.Time
		timer := Timer{Fire: func() { fired = c.now }}
		for range 200 {
			c.now = c.now.Add(oftenEvery)
			l.Tick()
			began = c.now
			l.StartTimer(&timer, due)
			_, err := l.Step(time.Hour)
			require.NoError(t, err)
			if d.yields > 0 {
				break
			}
		}
		require.Equal(t, 1, d.yields)
		require.False(t, timer.Active(), "it has not fired in the turn in which it became due")
		assert.Equal(t, others, fired.Sub(began), "when it fired")
	}
}

// A loop that is stepped with short waits sleeps often, too, also where it has no callbacks, in which it would read its clock.
func TestLoopWithoutCallbacksYields(t *testing.T) {
	for _, p := range []Parking{ParksAsARule, ParksInCompany} {
		d, l, c := aloneOn(t, 1, p)
		sleepOften(t, d, l, c, 340)
		d.sleeps, d.yields = nil, 0
		for range 800 {
			c.now = c.now.Add(oftenEvery)
			_, err := l.Step(oftenEvery)
			require.NoError(t, err)
		}
		assert.NotContains(t, d.sleeps, Parked)
		assert.InDelta(t, 40*time.Millisecond/time.Duration(l.company.window), d.yields, 2)
	}
}

// A loop on epoll that has slept often goes on as it does until it sleeps half as often.
func TestLoopThatSleepsLessOften(t *testing.T) {
	d, l, c := aloneOn(t, 1, ParksAsARule)
	sleep := func(each time.Duration) []SleepMode { return sleepEvery(t, d, l, c, each, 600)[350:] }
	assert.NotContains(t, sleep(150*time.Microsecond), Blocked, "not often yet")
	assert.NotContains(t, sleep(100*time.Microsecond), Parked, "often")
	assert.NotContains(t, sleep(200*time.Microsecond), Parked, "still often")
	assert.NotContains(t, sleep(300*time.Microsecond), Blocked, "not often any more")
	assert.NotContains(t, sleep(200*time.Microsecond), Blocked, "not often again")
}

// Beside another loop, which would have to wait for the processor, a loop parks.
func TestLoopParksBesideAnotherLoop(t *testing.T) {
	for name, p := range map[string]Parking{"of the same kind": ParksAsARule, "that has a CPU to itself": ParksNever} {
		t.Run(name, func(t *testing.T) {
			_, other, _ := aloneOn(t, 1, p)
			d, l, c := aloneOn(t, 1, ParksAsARule)
			assert.NotContains(t, sleepOften(t, d, l, c, 700), Blocked)
			assert.Zero(t, d.yields)
			require.NoError(t, other.End())
			sleepOften(t, d, l, c, 640)
			assert.NotContains(t, sleepOften(t, d, l, c, 100), Parked, "the other has ended")
		})
	}
}

// Behind a sleep in epoll_pwait that brought an event or two a loop sleeps again without a look of its own.
func TestLoopDoesNotLookBehindFewEvents(t *testing.T) {
	expect := func(what string, looks, processors int, p Parking, events int) {
		t.Run(what, func(t *testing.T) {
			d, l, c := aloneOn(t, processors, p)
			d.events = events
			sleepOften(t, d, l, c, 700) // and not at the end of a window
			d.looks = 0
			sleepOften(t, d, l, c, 10)
			assert.Equal(t, looks, d.looks)
		})
	}
	expect("one event", 0, 1, ParksAsARule, 1)
	expect("a few events", 0, 1, ParksAsARule, fewEvents)
	expect("many events", 10, 1, ParksAsARule, fewEvents+1)
	expect("no event", 10, 1, ParksAsARule, 0)
	expect("it parks", 10, 2, ParksAsARule, 1)
	expect("a look submits what is prepared", 10, 1, ParksInCompany, 1)
}

// A loop that is busy without events, with timers or with the ends of its turns, goes on looking for some.
func TestBusyLoopLooks(t *testing.T) {
	for name, busy := range map[string]func(*Loop){
		"ends of turns": func(l *Loop) { l.AtTurnEnd(&endless{l}) },
		"timers": func(l *Loop) {
			timer := &Timer{}
			timer.Fire = func() { l.StartTimer(timer, 0) }
			timer.Fire()
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, l, c := aloneOn(t, 1, ParksAsARule)
			d.events = 1
			sleepOften(t, d, l, c, 700)
			busy(l)
			d.looks = 0
			for range 20 {
				_, err := l.Step(time.Hour)
				require.NoError(t, err)
			}
			assert.GreaterOrEqual(t, d.looks, 18)
		})
	}
}

// endless has something to do at the end of each turn.
type endless struct{ loop *Loop }

func (e *endless) OnTurnEnd() { e.loop.AtTurnEnd(e) }
