//go:build linux

package uring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// sleepUntilWoken sleeps for wait at most, is woken at once, and returns how many system calls that took.
func sleepUntilWoken(t *testing.T, d *Driver, wait time.Duration) uint64 {
	t.Helper()
	before := d.count[backend.SystemCalls]
	time.AfterFunc(5*time.Millisecond, d.Wake)
	begin := time.Now()
	_, err := d.Poll(wait)
	require.NoError(t, err)
	require.Less(t, time.Since(begin), time.Minute, "nothing has ended a sleep")
	return d.count[backend.SystemCalls] - before
}

// A sleep with a timer costs no more system calls than one without, even if the timer moves on every time, and enter is
// given no timeout, which would set up a timer of its own.
func TestSleepArmsTheTimerOnce(t *testing.T) {
	d := open(t, Config{}, new(backend.Counters))
	require.True(t, d.timer.watched)
	turn(t, d)
	plain := sleepUntilWoken(t, d, -1)
	assert.Equal(t, plain+1, sleepUntilWoken(t, d, time.Hour), "the first sleep with a timer")
	for i := range 20 {
		assert.Equal(t, plain, sleepUntilWoken(t, d, time.Hour+time.Duration(i)*time.Minute), "a timer that has moved on")
		assert.Equal(t, time.Duration(-1), d.timed(time.Hour))
	}
	assert.Equal(t, plain+1, sleepUntilWoken(t, d, time.Minute), "an earlier timer")
}

// The end of a sleep is no event, and one that ends early is followed by one that ends on time.
func TestSleepEndsByTheTimer(t *testing.T) {
	for name, c := range map[string]Config{"": {}, "tiny": {Entries: 1, CompletionEntries: 2}} {
		t.Run(name, func(t *testing.T) {
			d := open(t, c, new(backend.Counters))
			turn(t, d)
			sleepUntilWoken(t, d, 20*time.Millisecond) // the timer stays armed for that
			for _, wait := range []time.Duration{50 * time.Millisecond, time.Millisecond, 30 * time.Microsecond, 10 * time.Millisecond} {
				polls := 0
				for begin := time.Now(); time.Since(begin) < wait; polls++ {
					n, err := d.Poll(wait - time.Since(begin))
					require.NoError(t, err)
					require.Zero(t, n, "events")
				}
				assert.Less(t, polls, 20, "for %v", wait)
			}
			before := d.requests
			for range 100 { // expired long ago
				_, err := d.Poll(1)
				require.NoError(t, err)
			}
			assert.Equal(t, before, d.requests)
		})
	}
}

// A sleep ends also where the timer cannot be used.
func TestSleepWithoutTheTimer(t *testing.T) {
	for problem, bring := range map[string]func(*Driver){
		"the poll has failed": func(d *Driver) {
			d.cancelRequest(opTimer, 0)
			until(t, d, func() bool { return !d.timer.watched })
		},
		"there is no memory for the poll": func(d *Driver) {
			d.requests++ // which a completion takes back that does not come
			d.waker.requests++
			d.timerFired(ring.CQE{Res: -int32(unix.ENOMEM)}, true)
			d.requests--
		},
		"it cannot be armed": func(d *Driver) { d.timer.Close() },
	} {
		t.Run(problem, func(t *testing.T) {
			d := open(t, Config{}, new(backend.Counters))
			turn(t, d)
			bring(d)
			for _, wait := range []time.Duration{time.Millisecond, 5 * time.Millisecond} {
				for begin := time.Now(); time.Since(begin) < wait; {
					_, err := d.Poll(max(wait-time.Since(begin), 1))
					require.NoError(t, err)
				}
				assert.NotEqual(t, time.Duration(-1), d.timed(wait))
			}
		})
	}
}
