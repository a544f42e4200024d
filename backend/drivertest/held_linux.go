package drivertest

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// RunHeld tests held sleeps: they end by themselves, and by events, and keep the right to run Go code.
func RunHeld(t *testing.T, open func(t *testing.T, count *backend.Counters) backend.ParkingDriver) {
	for name, wait := range map[string]time.Duration{"for ever": -1, "for an hour": time.Hour, "shorter": backend.HeldTime / 2} {
		t.Run("it ends by itself, "+name, func(t *testing.T) {
			d := openHeld(t, open)
			rescue := time.AfterFunc(Patience, func() {
				t.Errorf("a held sleep has not ended within %v", Patience)
				d.Wake()
			})
			n, err := d.Poll(wait)
			rescue.Stop()
			require.NoError(t, err)
			assert.Zero(t, n)
		})
	}
	t.Run("nobody else runs meanwhile", func(t *testing.T) {
		d := openHeld(t, open)
		before := runtime.GOMAXPROCS(1)
		defer runtime.GOMAXPROCS(before)
		kept := 0
		for range 100 {
			var ran atomic.Bool
			go ran.Store(true)
			_, err := d.Poll(-1)
			require.NoError(t, err)
			if !ran.Load() {
				kept++
			}
			runtime.Gosched()
		}
		assert.Greater(t, kept, 50, "of 100 sleeps; in the rest the runtime had interrupted the test")
	})
	t.Run("events end it", func(t *testing.T) { RunHeldEvents(t, openHeld(t, open)) })
}

func openHeld(t *testing.T, open func(*testing.T, *backend.Counters) backend.ParkingDriver) backend.ParkingDriver {
	d := open(t, new(backend.Counters))
	Turn(t, d) // what Start has prepared
	d.SleepAs(backend.Held)
	return d
}

// RunHeldEvents tests that bytes and wake-ups reach a driver in sleeps that are to be held.
func RunHeldEvents(t *testing.T, d backend.Driver) {
	o, peer := Pair(t, d)
	poll := func(done func() bool) {
		t.Helper()
		for begin := time.Now(); !done(); {
			require.Less(t, time.Since(begin), Patience, "the event does not come")
			_, err := d.Poll(Patience)
			require.NoError(t, err)
		}
	}
	for i := range 20 {
		time.AfterFunc(time.Millisecond, func() { _, _ = unix.Write(peer, []byte{1}) })
		poll(func() bool { return len(o.Got) == i+1 })
		var woken atomic.Bool
		time.AfterFunc(time.Millisecond, func() {
			woken.Store(true)
			d.Wake()
		})
		poll(woken.Load)
	}
	Release(t, d, o)
}
