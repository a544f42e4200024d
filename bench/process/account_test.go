//go:build linux

package process

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// processClock is the CPU time of this process as another part of the kernel counts it: clock_gettime(2).
func processClock(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now))
	return time.Duration(now.Nano())
}

// burnCPU uses so much CPU time, however long that takes.
func burnCPU(t *testing.T, d time.Duration) {
	for end := processClock(t) + d; processClock(t) < end; {
	}
}

// TestAccountAgreesWithTheClock: what /proc says lies between what the clock says around and inside, but for the ticks in
// which it counts.
func TestAccountAgreesWithTheClock(t *testing.T) {
	pid := os.Getpid()
	outerBefore := processClock(t)
	before, err := Read(pid)
	require.NoError(t, err)
	innerBefore := processClock(t)
	burnCPU(t, 200*time.Millisecond)
	innerAfter := processClock(t)
	after, err := Read(pid)
	require.NoError(t, err)
	outerAfter := processClock(t)

	const ticks = 30 * time.Millisecond
	got := after.Minus(before)
	least, most := innerAfter-innerBefore-ticks, outerAfter-outerBefore+ticks
	assert.GreaterOrEqual(t, got.cpu.Ran, least, "schedstat")
	assert.LessOrEqual(t, got.cpu.Ran, most, "schedstat")
	both := got.modes.User + got.modes.Sys
	assert.GreaterOrEqual(t, both, least, "stat")
	assert.LessOrEqual(t, both, most, "stat")
}

// TestSystemTimeIsSystemTime: a loop of system calls shows as such, and one of arithmetic as user time.
func TestSystemTimeIsSystemTime(t *testing.T) {
	spend := func(work func()) modeTime {
		before, err := processModes(os.Getpid())
		require.NoError(t, err)
		for end := processClock(t) + 200*time.Millisecond; processClock(t) < end; {
			work()
		}
		after, err := processModes(os.Getpid())
		require.NoError(t, err)
		return after.minus(before)
	}
	page := make([]byte, 1<<20)
	zero, err := os.Open("/dev/zero")
	require.NoError(t, err)
	defer zero.Close()
	m := spend(func() { _, _ = zero.Read(page) })
	assert.GreaterOrEqual(t, m.Sys, m.User, "reading in the kernel")
	x := uint64(1)
	m = spend(func() {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1
		}
	})
	assert.GreaterOrEqual(t, m.User, m.Sys, "arithmetic")
	runtime.KeepAlive(x)
}

func TestContextSwitchesAreCounted(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := processSwitches(os.Getpid())
	require.NoError(t, err)
	const sleeps = 200
	for range sleeps {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil) // a signal may end it early
	}
	after, err := processSwitches(os.Getpid())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.minus(before).Voluntary, int64(sleeps*9/10), "one thread slept %d times", sleeps)
}

func TestResidentMemoryGrowsAndFalls(t *testing.T) {
	resident := func() int64 {
		n, err := Resident(os.Getpid())
		require.NoError(t, err)
		return n
	}
	const size = 64 << 20
	before := resident()
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	require.NoError(t, err)
	for i := 0; i < size; i += os.Getpagesize() {
		p[i] = 1
	}
	full := resident()
	require.NoError(t, unix.Munmap(p))
	const slack = 16 << 20 // Go's own heap comes and goes
	assert.InDelta(t, size, full-before, slack, "bytes more")
	assert.GreaterOrEqual(t, full-resident(), int64(size-slack), "bytes less")
}

func TestParseProc(t *testing.T) {
	m, err := parseStat("7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 30 1 2 20 0")
	require.NoError(t, err)
	assert.Equal(t, modeTime{2500 * time.Millisecond, 300 * time.Millisecond}, m)
	c, err := parseSwitches("Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n")
	require.NoError(t, err)
	assert.Equal(t, switchCount{12, 3}, c)
	n, err := parseRollup("55 ---p [rollup]\nRss:                1728 kB\nPss: 1 kB\n")
	require.NoError(t, err)
	assert.Equal(t, int64(1728<<10), n)
	n, err = parseStatm("100 7 5 1 0 9 0\n")
	require.NoError(t, err)
	assert.Equal(t, 7*int64(os.Getpagesize()), n)
	for _, text := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x 30", "nonvoluntary_ctxt_switches: 3", "Rss: many kB"} {
		_, err := parseStat(text)
		assert.Error(t, err, "stat %q", text)
		_, err = parseSwitches(text)
		assert.Error(t, err, "status %q", text)
		_, err = parseRollup(text)
		assert.Error(t, err, "smaps_rollup %q", text)
	}
	_, err = parseStatm("1")
	assert.Error(t, err, "statm")
}

func TestSystemCallsAreCounted(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := CountSyscalls(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		t.Skip("NOT TESTED: perf events are not allowed here: ", err)
	}
	require.NoError(t, err)
	const calls = 10_000
	for range calls {
		_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	n, err := c.Stop()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n, int64(calls))
	assert.LessOrEqual(t, n, int64(2*calls))
}
