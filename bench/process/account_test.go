//go:build linux

package process

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// processClock is the CPU time of this process as another part of the kernel counts it: clock_gettime(2).
func processClock(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &now); err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	innerBefore := processClock(t)
	burnCPU(t, 200*time.Millisecond)
	innerAfter := processClock(t)
	after, err := Read(pid)
	if err != nil {
		t.Fatal(err)
	}
	outerAfter := processClock(t)

	const ticks = 30 * time.Millisecond
	got := after.Minus(before)
	least, most := innerAfter-innerBefore-ticks, outerAfter-outerBefore+ticks
	if ran := got.cpu.Ran; ran < least || ran > most {
		t.Errorf("schedstat says %v, want %v to %v", ran, least, most)
	}
	if both := got.modes.User + got.modes.Sys; both < least || both > most {
		t.Errorf("stat says %v, want %v to %v", both, least, most)
	}
}

// TestSystemTimeIsSystemTime: a loop of system calls shows as such, and one of arithmetic as user time.
func TestSystemTimeIsSystemTime(t *testing.T) {
	spend := func(work func()) modeTime {
		before, err := processModes(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		for end := processClock(t) + 200*time.Millisecond; processClock(t) < end; {
			work()
		}
		after, err := processModes(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return after.minus(before)
	}
	page := make([]byte, 1<<20)
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	if m := spend(func() { _, _ = zero.Read(page) }); m.Sys < m.User {
		t.Errorf("reading in the kernel: user %v, system %v", m.User, m.Sys)
	}
	x := uint64(1)
	if m := spend(func() {
		for range 1 << 20 {
			x = x*6364136223846793005 + 1
		}
	}); m.User < m.Sys {
		t.Errorf("arithmetic: user %v, system %v", m.User, m.Sys)
	}
	runtime.KeepAlive(x)
}

func TestContextSwitchesAreCounted(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := processSwitches(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const sleeps = 200
	for range sleeps {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil) // a signal may end it early
	}
	after, err := processSwitches(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if got := after.minus(before).Voluntary; got < sleeps*9/10 {
		t.Errorf("%d voluntary switches, and one thread slept %d times", got, sleeps)
	}
}

func TestResidentMemoryGrowsAndFalls(t *testing.T) {
	resident := func() int64 {
		n, err := Resident(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const size = 64 << 20
	before := resident()
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < size; i += os.Getpagesize() {
		p[i] = 1
	}
	full := resident()
	if err := unix.Munmap(p); err != nil {
		t.Fatal(err)
	}
	const slack = 16 << 20 // Go's own heap comes and goes
	if got := full - before; got < size-slack || got > size+slack {
		t.Errorf("%d bytes more, want %d", got, size)
	}
	if got := full - resident(); got < size-slack {
		t.Errorf("%d bytes less, want %d", got, size)
	}
}

func TestParseProc(t *testing.T) {
	m, err := parseStat("7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 30 1 2 20 0")
	if want := (modeTime{2500 * time.Millisecond, 300 * time.Millisecond}); err != nil || m != want {
		t.Errorf("stat: %v, %v, want %v", m, err, want)
	}
	c, err := parseSwitches("Name:\tx\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n")
	if want := (switchCount{12, 3}); err != nil || c != want {
		t.Errorf("status: %v, %v, want %v", c, err, want)
	}
	if n, err := parseRollup("55 ---p [rollup]\nRss:                1728 kB\nPss: 1 kB\n"); err != nil || n != 1728<<10 {
		t.Errorf("smaps_rollup: %d, %v", n, err)
	}
	if n, err := parseStatm("100 7 5 1 0 9 0\n"); err != nil || n != 7*int64(os.Getpagesize()) {
		t.Errorf("statm: %d, %v", n, err)
	}
	for _, text := range []string{"", "1 (x) S 1", "1 (x) S 1 2 3 4 5 6 7 8 9 10 x 30", "nonvoluntary_ctxt_switches: 3", "Rss: many kB"} {
		if _, err := parseStat(text); err == nil {
			t.Errorf("stat %q: no error", text)
		}
		if _, err := parseSwitches(text); err == nil {
			t.Errorf("status %q: no error", text)
		}
		if _, err := parseRollup(text); err == nil {
			t.Errorf("smaps_rollup %q: no error", text)
		}
	}
	if _, err := parseStatm("1"); err == nil {
		t.Error("statm: no error")
	}
}

func TestSystemCallsAreCounted(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c, err := CountSyscalls(os.Getpid())
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	const calls = 10_000
	for range calls {
		_, _, _ = unix.RawSyscall(unix.SYS_GETPPID, 0, 0, 0)
	}
	if n, err := c.Stop(); err != nil || n < calls || n > 2*calls {
		t.Errorf("%d system calls, %v, and one thread made %d", n, err, calls)
	}
}
