package backend

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// busyMonitor has the process's threads sleep, besides the loop's own, a number of times in 100 sleeps of the loop, which
// take 5 ms.
func busyMonitor(d *parkingDriver, others int) {
	sum := 0
	d.events = 1
	d.sleep = func(time.Duration) {
		d.switches++
		if sum += others; sum >= 100 {
			sum -= 100
			d.switches++
		}
	}
}

// forEachParking runs the test for each way to park; its loops end with it.
func forEachParking(t *testing.T, test func(*testing.T, Parking)) {
	for name, p := range map[string]Parking{"as a rule": ParksAsARule, "in company": ParksInCompany} {
		t.Run(name, func(t *testing.T) { test(t, p) })
	}
}

// count is how many of the sleeps were of a mode.
func count(all []SleepMode, m SleepMode) (n int) {
	for _, one := range all {
		if one == m {
			n++
		}
	}
	return n
}

// sleepUntilHeld has a loop sleep often until it holds its processor in a sleep.
func sleepUntilHeld(t *testing.T, d *parkingDriver, l *Loop, c *handClock) {
	t.Helper()
	for n := 0; count(sleepOften(t, d, l, c, 1), Held) == 0; n++ {
		require.Less(t, n, 1000, "it does not hold")
	}
}

// A loop that finds the monitor busy holds its processor for 30 ms, and again 250 ms after it began.
func TestLoopHoldsToCalmTheMonitor(t *testing.T) {
	forEachParking(t, func(t *testing.T, p Parking) {
		d, l, c := aloneOn(t, 1, p)
		busyMonitor(d, 10)
		sleepUntilHeld(t, d, l, c)
		period := int(monitorRests / int64(oftenEvery))
		holds := int(monitorCalms / int64(oftenEvery))
		window := int(l.company.window / int64(oftenEvery))
		first := sleepOften(t, d, l, c, period/2)
		assert.InDelta(t, holds, count(first, Held), float64(window+holds/20), "a window more, and the yields less")
		assert.Zero(t, count(first, Parked))
		both := append(first, sleepOften(t, d, l, c, period)...)
		assert.InDelta(t, 2*holds, count(both, Held), float64(3*window+holds/10))
	})
}

// While the monitor is calm a loop holds nothing, however often it sleeps.
func TestLoopDoesNotHoldWhileTheMonitorIsCalm(t *testing.T) {
	forEachParking(t, func(t *testing.T, p Parking) {
		d, l, c := aloneOn(t, 1, p)
		busyMonitor(d, 4) // less than one in a millisecond
		assert.Zero(t, count(sleepOften(t, d, l, c, 10000), Held))
	})
}

// Where others may use the processor, or there are more, a loop does not hold.
func TestLoopDoesNotHoldBesideOthers(t *testing.T) {
	forEachParking(t, func(t *testing.T, p Parking) {
		d, l, c := aloneOn(t, 2, p)
		busyMonitor(d, 50)
		assert.Zero(t, count(sleepOften(t, d, l, c, 5000), Held), "two processors")

		runtime.GOMAXPROCS(1)
		_, other, _ := aloneOn(t, 1, p)
		assert.Zero(t, count(sleepOften(t, d, l, c, 5000), Held), "two loops")

		require.NoError(t, other.End())
		assert.NotZero(t, count(sleepOften(t, d, l, c, 5000), Held), "alone")
	})
}

// Sleeps that end only because they are held are not often: a loop without work stops holding at the end of a span.
func TestIdleLoopDoesNotHold(t *testing.T) {
	forEachParking(t, func(t *testing.T, p Parking) {
		d, l, c := aloneOn(t, 1, p)
		busyMonitor(d, 10)
		sleepUntilHeld(t, d, l, c)
		d.events = 0
		assert.Less(t, count(sleepOften(t, d, l, c, 600), Held), int((spanTime+l.company.window)/int64(oftenEvery)))
	})
}

// A held sleep that ends when a timer is due is one like any other.
func TestHeldSleepForATimerIsOften(t *testing.T) {
	d, l, c := aloneOn(t, 1, ParksInCompany)
	busyMonitor(d, 10)
	sleepUntilHeld(t, d, l, c)
	d.events, d.sleeps = 0, nil
	for range 400 {
		c.now = c.now.Add(oftenEvery)
		_, err := l.Step(oftenEvery)
		require.NoError(t, err)
	}
	assert.Greater(t, count(d.sleeps, Held), 300)
}

// How often threads sleep is known on Linux.
func TestVoluntarySwitches(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED, NOTHING WAS TESTED: it is for Linux")
	}
	before := voluntarySwitches()
	for range 10 {
		time.Sleep(time.Millisecond)
	}
	assert.GreaterOrEqual(t, voluntarySwitches(), before+5)
	assert.Zero(t, testing.AllocsPerRun(100, func() { voluntarySwitches() }))
}
