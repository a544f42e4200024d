package drivertest

import (
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

const patience = 10 * time.Second

// RunYield tests that Yield of a driver lets those run that wait for Go's poller, and that it loses no wake-up.
func RunYield(t *testing.T, open func(t *testing.T, count *backend.Counters) backend.ParkingDriver) {
	t.Run("those of the poller run", func(t *testing.T) {
		yieldsToThePoller(t, open(t, new(backend.Counters)))
	})
	t.Run("those of the poller run behind a sleep that has ended on time", func(t *testing.T) {
		d := open(t, new(backend.Counters))
		d.SleepAs(backend.Parked)
		for begin := time.Now(); time.Since(begin) < 20*time.Millisecond; {
			_, err := d.Poll(20 * time.Millisecond)
			require.NoError(t, err)
		}
		yieldsToThePoller(t, d)
	})
	t.Run("it is no event", func(t *testing.T) {
		d := open(t, new(backend.Counters))
		for _, m := range []backend.SleepMode{backend.Blocked, backend.Parked} {
			d.SleepAs(m)
			for _, wait := range []time.Duration{0, time.Millisecond} {
				d.Yield()
				n, err := d.Poll(wait)
				require.NoError(t, err)
				assert.Zero(t, n, "behind Yield, mode %v, wait %v", m, wait)
			}
		}
	})
	for _, m := range []backend.SleepMode{backend.Blocked, backend.Parked} {
		for when, wake := range map[string]func(backend.ParkingDriver){
			"before": func(d backend.ParkingDriver) { d.Wake(); d.Yield() },
			"behind": func(d backend.ParkingDriver) { d.Yield(); d.Wake() },
			"inside": func(d backend.ParkingDriver) {
				begin := make(chan struct{})
				go func() { <-begin; d.Wake() }()
				close(begin)
				d.Yield()
			},
		} {
			t.Run("a wake-up "+when, func(t *testing.T) { wokenAroundYield(t, open, m, wake) })
		}
	}
}

// yieldsToThePoller has a goroutine wait for a pipe, twenty times, and Yield let it run.
func yieldsToThePoller(t *testing.T, d backend.ParkingDriver) {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	raw, err := w.SyscallConn()
	require.NoError(t, err)
	atOnce := 0
	for range 20 {
		var ran atomic.Bool
		go func() {
			_, _ = r.Read(make([]byte, 1))
			ran.Store(true)
		}()
		time.Sleep(time.Millisecond) // so that it waits: nothing tells when it does
		require.NoError(t, raw.Control(func(fd uintptr) { _, err = unix.Write(int(fd), []byte{1}) }))
		require.NoError(t, err)
		rounds := 0
		for begin := time.Now(); !ran.Load() && time.Since(begin) < patience; rounds++ {
			d.Yield()
			runtime.Gosched() // it may come next
		}
		require.True(t, ran.Load(), "not within %v", patience)
		if rounds <= 3 {
			atOnce++
		}
	}
	assert.GreaterOrEqual(t, atOnce, 10, "of 20; the rest had to wait for the runtime's monitor, or for another thread")
}

func wokenAroundYield(t *testing.T, open func(*testing.T, *backend.Counters) backend.ParkingDriver, m backend.SleepMode, wake func(backend.ParkingDriver)) {
	d := open(t, new(backend.Counters))
	for range 20 {
		wake(d)
		d.SleepAs(m)
		rescue := time.AfterFunc(patience, func() {
			t.Errorf("a sleep has not ended %v after the wake-up, mode %v", patience, m)
			d.Wake()
		})
		_, err := d.Poll(-1)
		rescue.Stop()
		require.NoError(t, err)
		if t.Failed() {
			return
		}
	}
	d.Yield()
	_, err := d.Poll(time.Millisecond)
	assert.NoError(t, err)
}
