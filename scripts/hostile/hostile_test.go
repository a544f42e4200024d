//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestMain runs the children of this program, which are this program again.
func TestMain(m *testing.M) {
	if status, is := runChild(); is {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestFaultsAreNoticed attacks servers that do something wrong: the bound that is meant for it must break.
func TestFaultsAreNoticed(t *testing.T) {
	for _, one := range []struct{ fault, attack, lasts, broken string }{
		{"no-limits", "never-readers", "3s", "peak of resident memory: "},
		{"no-times", "half-open", "250ms", "silent peers after "},
		{"keeps-streams", "fins", "250ms", "streams afterwards: "},
		{"leaks-descriptors", "fins", "250ms", "descriptors afterwards: "},
		{"leaks-memory", "fins", "250ms", "resident memory afterwards: "},
		{"blocks", "one-byte-segments", "500ms", "p99 of well-behaved streams: "},
		{"panics", "one-byte-segments", "250ms", "panics: "},
		{"spins", "fins", "250ms", "turns of a loop in a second of silence: "},
	} {
		t.Run(one.fault, func(t *testing.T) {
			if one.fault == "no-limits" && detectorFactor > 1 {
				t.Skip("SKIPPED, NOTHING WAS TESTED: the race detector takes memory of its own, and the bounds leave it so much")
			}
			if one.fault != "blocks" { // it is about time
				t.Parallel()
			}
			var out strings.Builder
			status := run([]string{"-quick", "-backend", "epoll", "-attack", one.attack, "-fault", one.fault, one.lasts}, &out)
			assert.Equal(t, 1, status, "exit status")
			assert.Contains(t, out.String(), "BROKEN: "+one.broken)
		})
	}
}

// TestCrashOfTheServerIsNoticed: a server that has ended is a failure, and nothing hangs.
func TestCrashOfTheServerIsNoticed(t *testing.T) {
	g, err := startTarget(&serverTask{Backend: tandem.Epoll, Loops: 1, Limits: recommended(time.Second)}, (&options{quick: true, duration: time.Second}).timing(1))
	require.NoError(t, err)
	defer g.stop()
	a, err := findAttack("bulk")
	require.NoError(t, err)
	g.kill()
	assert.NotEmpty(t, g.try(a).Failure)
}

// TestHealthyServerPasses: without a fault nothing is broken, and the file has the figures.
func TestHealthyServerPasses(t *testing.T) {
	for _, backend := range []string{"epoll", "uring"} {
		t.Run(backend, func(t *testing.T) {
			var out strings.Builder
			file := filepath.Join(t.TempDir(), "figures.json")
			status := run([]string{"-quick", "-backend", backend, "-attack", "resets", "-json", file}, &out)
			if strings.Contains(out.String(), "NOT TESTED") && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
				t.Skip(out.String())
			}
			require.Equal(t, 0, status, out.String())
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var trials []trial
			require.NoError(t, json.Unmarshal(text, &trials))
			require.Len(t, trials, 1)
			assert.Equal(t, "resets", trials[0].Attack)
			assert.Positive(t, trials[0].Attackers.Connects)
			assert.Greater(t, len(trials[0].Bounds), 8)
		})
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{"-attack", "none"}, {"-backend", "auto"}, {"-backend", "kqueue"}, {"soon"}, {"-1s"}, {"1s", "2s"}, {"-no"},
	} {
		assert.Equal(t, 2, run(args, &strings.Builder{}), "%q", args)
	}
	assert.Equal(t, 0, run([]string{"-help"}, &strings.Builder{}))
	var out strings.Builder
	assert.Equal(t, 1, run([]string{"-quick", "-backend", "epoll", "-fault", "no such fault"}, &out))
	assert.Contains(t, out.String(), "there is no fault")
}

func TestPlanDividesTheDuration(t *testing.T) {
	o, err := parse([]string{"10m"})
	require.NoError(t, err)
	plan, err := o.plan()
	require.NoError(t, err)
	require.Len(t, plan, 4, "two backends, with the recommended limits and with defaults")
	var sum time.Duration
	for _, one := range plan {
		sum += time.Duration(len(one.attacks)) * one.timing.attack
	}
	assert.Greater(t, sum, 6*time.Minute)
	assert.Less(t, sum, 10*time.Minute)
	assert.Len(t, plan[0].attacks, 14)
}

func TestQuietTurns(t *testing.T) {
	loops := func(turns, timers, closed uint64) *serverAnswer {
		one := tandem.LoopStats{Turns: turns, Timers: timers, Closed: closed, Streams: 10}
		return &serverAnswer{Stats: tandem.Stats{Loops: []tandem.LoopStats{{}, one}}}
	}
	between := func(b *serverAnswer) float64 {
		b.Time = time.Second
		return turnsBetween(loops(0, 0, 0), b).PerSecond
	}
	assert.Less(t, between(loops(20, 0, 0)), 20.0, "what is allowed")
	assert.Greater(t, between(loops(100, 0, 0)), 20.0, "a loop that spins")
	assert.Less(t, between(loops(100, 40, 0)), 20.0, "timers need turns")
	assert.Greater(t, between(loops(5000, 2000, 0)), 20.0, "timers without end")
	assert.Less(t, between(loops(100, 0, 25)), 20.0, "streams that end")
}

func TestMemoryBoundFollowsTheLimits(t *testing.T) {
	l := defaults()
	h := blocking(&l)
	assert.Equal(t, holds{unread: 256 * kib, queued: 128*kib + largestAnswer}, h)
	assert.Equal(t, 2*10*int64(h.unread+h.queued+object), l.memory(10, h))
	half := sending(16 * mib)(&l)
	assert.Equal(t, 32*mib, half.unread)
	assert.Equal(t, 2*100*int64(32*mib+object), l.memory(100, half))
	l.MemoryLimit = mib
	assert.Equal(t, 2*(2*mib+100*int64(piece+object)), l.memory(100, half))
}

func TestQuantile(t *testing.T) {
	assert.Zero(t, quantile(nil, 0.99))
	d := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	assert.Equal(t, time.Duration(6), quantile(d, 0.5))
	assert.Equal(t, time.Duration(10), quantile(d, 0.99))
}

func TestSlowdown(t *testing.T) {
	assert.Equal(t, 1.0, schedule{}.slowdown())
	assert.Equal(t, 2.0, schedule{ran: 5, waited: 5}.slowdown())
	assert.Equal(t, 10.0, schedule{ran: 1, waited: 500}.slowdown())
}
