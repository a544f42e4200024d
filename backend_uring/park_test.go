//go:build linux

package uring

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// openParking makes a driver that parks where it may.
func openParking(t *testing.T, c Config) *Driver {
	d := open(t, c, new(backend.Counters))
	d.SleepAs(backend.Parked)
	if d.park.mode != backend.Parked {
		require.Zero(t, d.rung.flags&ring.SetupDeferTaskrun, "the driver cannot park")
		t.Skip("SKIPPED, NOTHING WAS TESTED: without DEFER_TASKRUN a driver does not park")
	}
	return d
}

// The contract holds for a driver that parks.
func TestDriverParked(t *testing.T) {
	for variant, c := range map[string]Config{"": {}, "-eventfd": {EventFD: true}, "-tiny": {Entries: 1, CompletionEntries: 2}} {
		t.Run("defer"+variant, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T, count *backend.Counters) backend.Driver {
				d := open(t, c, count)
				d.SleepAs(backend.Parked)
				return checked{d, t}
			})
		})
	}
}

func TestHeldSleep(t *testing.T) {
	openParking(t, Config{}) // or skip
	for variant, c := range map[string]Config{"": {}, "-eventfd": {EventFD: true}} {
		t.Run("defer"+variant, func(t *testing.T) {
			drivertest.RunHeld(t, func(t *testing.T, count *backend.Counters) backend.ParkingDriver { return open(t, c, count) })
		})
	}
}

func TestYield(t *testing.T) {
	openParking(t, Config{}) // or skip
	for variant, c := range map[string]Config{"": {}, "-eventfd": {EventFD: true}} {
		t.Run("defer"+variant, func(t *testing.T) {
			drivertest.RunYield(t, func(t *testing.T, count *backend.Counters) backend.ParkingDriver { return open(t, c, count) })
		})
	}
}

// Whatever comes between two steps of parking ends the sleep.
func TestNothingIsMissedBetweenStepsOfParking(t *testing.T) {
	for g := range numGaps {
		for name, wait := range map[string]time.Duration{"for ever": -1, "with a timer": time.Hour} {
			for _, eventFD := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d, %s, eventfd %v", g, name, eventFD), func(t *testing.T) {
					d := openParking(t, Config{EventFD: eventFD})
					o, peer := attach(t, d)
					turn(t, d)
					for i := range 3 {
						interrupted(t, d, g, wait, d.Wake)
						interrupted(t, d, g, wait, func() { drivertest.Send(t, peer, []byte{byte(i)}) })
						until(t, d, func() bool { return len(o.Got) == i+1 })
					}
				})
			}
		}
	}
}

// interrupted has a driver sleep, and calls fn in a gap the first time that it passes there. In afterWait, where a sleep
// has ended already, another call has ended it.
func interrupted(t *testing.T, d *Driver, g gap, wait time.Duration, fn func()) {
	t.Helper()
	calls := 0
	d.park.gap = func(now gap) {
		if now == afterLook && g == afterWait && calls == 0 {
			d.Wake()
		}
		if now != g {
			return
		}
		if calls++; calls == 1 {
			fn()
		}
	}
	begin := time.Now()
	ended := make(chan struct{})
	watchdog := time.AfterFunc(patience, func() {
		select {
		case <-ended:
		default:
			t.Errorf("a sleep has not ended %v after the event", patience)
			d.park.signal()
		}
	})
	_, err := d.Poll(wait)
	close(ended)
	watchdog.Stop()
	require.NoError(t, err)
	assert.NotZero(t, calls, "the gap was never reached")
	assert.Less(t, time.Since(begin), patience)
	d.park.gap = nil
	turn(t, d)
}

// The poller keeps time by the millisecond, so a parked sleep ends before its time.
func TestParkedSleepEndsEarly(t *testing.T) {
	d := openParking(t, Config{})
	const wait = 20 * time.Millisecond
	var latest time.Time
	d.park.gap = func(now gap) {
		if now == beforeParking {
			latest = time.Now().Add(wait - time.Millisecond)
		}
	}
	_, err := d.Poll(wait)
	require.NoError(t, err)
	assert.True(t, d.park.armed.Before(latest), "%v after the latest", d.park.armed.Sub(latest))
}

// A parked sleep ends in time.
func TestParkedSleepEnds(t *testing.T) {
	d := openParking(t, Config{})
	for _, wait := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond, time.Nanosecond} {
		for begin := time.Now(); time.Since(begin) < wait; {
			_, err := d.Poll(max(wait-time.Since(begin), 1))
			require.NoError(t, err)
		}
	}
	for i := range 20 { // a timer that moves on: the earlier deadline stays
		d.Wake()
		before := d.park.armed
		_, err := d.Poll(time.Hour + time.Duration(i)*time.Minute)
		require.NoError(t, err)
		if i > 0 {
			assert.Equal(t, before, d.park.armed)
		}
	}
	d.Wake()
	_, err := d.Poll(time.Minute)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Minute), d.park.armed, patience)
}

// More work than one enter carries out, none of which becomes a completion, does not stay behind.
func TestLookLeavesNothing(t *testing.T) {
	d := openParking(t, Config{})
	var peers []int
	var owners []*drivertest.Recorder
	for range 100 {
		o, peer := attach(t, d)
		owners, peers = append(owners, o), append(peers, peer)
	}
	turn(t, d)
	for _, p := range peers {
		drivertest.Send(t, p, []byte("x"))
	}
	until(t, d, func() bool {
		for _, o := range owners {
			if len(o.Got) == 0 {
				return false
			}
		}
		return true
	})
	for _, p := range peers {
		drivertest.Shut(t, p, unix.SHUT_RDWR)
	}
}

// A loop that has a CPU to itself does not park.
func TestOwnCPUDoesNotPark(t *testing.T) {
	d := open(t, Config{OwnCPU: true}, new(backend.Counters))
	d.SleepAs(backend.Parked)
	assert.Equal(t, backend.Blocked, d.park.mode)
}
