package backendtest

import (
	"runtime"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/session"
)

// resolution compares After with nanosleep(2), which the machine's load delays as it does the loop. One of a few tries
// has to be as exact.
func resolution(e *Env) {
	const d, times, tries = 200 * time.Microsecond, 30, 10
	s, _ := e.Pair(NewHooks(), session.StreamOptions{IdleTimeout: time.Hour})
	median := func(wait func()) time.Duration {
		var all []time.Duration
		for range times {
			begin := time.Now()
			wait()
			all = append(all, time.Since(begin))
		}
		slices.Sort(all)
		return all[times/2]
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var sleep, after time.Duration
	for range tries {
		sleep = median(func() { ts := unix.NsecToTimespec(int64(d)); _ = unix.Nanosleep(&ts, nil) })
		after = median(func() { done := make(chan struct{}); s.After(d, func() { close(done) }); <-done })
		if after <= 2*sleep+d {
			return
		}
	}
	require.LessOrEqual(e, after, 2*sleep+d, "median of After(%v); nanosleep(2) takes %v", d, sleep)
}
