//go:build linux

package ring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// flavours are the ways a driver may have to set up its ring, the newest kernel's first.
var flavours = []struct {
	name  string
	flags uint32
}{
	{"deferred", SetupSubmitAll | SetupClamp | SetupSingleIssuer | SetupDeferTaskrun | SetupRDisabled | SetupNoSQArray},
	{"cooperative", SetupSubmitAll | SetupClamp | SetupCoopTaskrun | SetupTaskrunFlag},
	{"plain", 0},
}

// patience is how long a completion that has to come may take.
const patience = 10 * time.Second

// forEachFlavour runs the test on a ring of every kind.
func forEachFlavour(t *testing.T, entries, cqEntries uint32, test func(t *testing.T, r *Ring)) {
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) { test(t, openRing(t, entries, cqEntries, f.flags)) })
	}
}

// openRing locks the test to its thread and makes a ring there, enabled, which lives as long as the test.
func openRing(t testing.TB, entries, cqEntries, flags uint32) *Ring {
	t.Helper()
	r, err := New(entries, cqEntries, flags)
	if err != nil {
		refused(t, err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Enable(); err != nil {
		t.Fatal(err)
	}
	return r
}

// refused ends a test that the kernel does not let run.
func refused(t testing.TB, err error) {
	t.Helper()
	if os.Getenv("TANDEM_REQUIRE_URING") == "1" {
		t.Fatalf("TANDEM_REQUIRE_URING=1, but: %v", err)
	}
	t.Skipf("SKIPPED, NOTHING WAS TESTED: io_uring is refused here: %v", err)
}

// deferredRing is the kind that a current kernel gives to a driver.
func deferredRing(t testing.TB) *Ring {
	t.Helper()
	return openRing(t, 16, 64, flavours[0].flags)
}

// entry is the next entry of a queue that has room.
func entry(t testing.TB, r *Ring) *SQE {
	t.Helper()
	s := r.SQE()
	if s == nil {
		t.Fatal("the submission queue is full")
	}
	return s
}

// completions submits what is prepared, waits for n completions and takes them.
func completions(t testing.TB, r *Ring, n int) []CQE {
	t.Helper()
	var got []CQE
	for deadline := time.Now().Add(patience); len(got) < n; {
		if err := r.Wait(time.Until(deadline)); err != nil {
			t.Fatal(err)
		}
		for c := r.PeekCQE(); c != nil && len(got) < n; c = r.PeekCQE() {
			got = append(got, *c)
			r.Advance()
		}
		if len(got) < n && time.Now().After(deadline) {
			t.Fatalf("%d of %d completions after %v: %+v", len(got), n, patience, got)
		}
	}
	return got
}

// completion is completions for one.
func completion(t testing.TB, r *Ring) CQE {
	t.Helper()
	return completions(t, r, 1)[0]
}

func TestNopsWrapAround(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		if sq, cq := r.Entries(); sq != 4 || cq != 8 {
			t.Fatalf("Entries() = %d, %d", sq, cq)
		}
		var sent, seen uint64
		for sent < 5000 {
			for range 1 + rand.IntN(4) {
				s := entry(t, r)
				s.PrepNop()
				s.UserData = sent
				sent++
			}
			if n := r.Prepared(); n == 0 || n > 4 {
				t.Fatalf("Prepared() = %d", n)
			}
			if err := r.Submit(); err != nil {
				t.Fatal(err)
			}
			if n := r.Prepared(); n != 0 {
				t.Fatalf("Prepared() = %d after Submit", n)
			}
			if err := r.Enter(); err != nil {
				t.Fatal(err)
			}
			for c := r.PeekCQE(); c != nil; c = r.PeekCQE() {
				if c.UserData != seen || c.Res != 0 {
					t.Fatalf("completion %d is %+v", seen, *c)
				}
				seen++
				r.Advance()
			}
			if seen != sent || r.Ready() != 0 {
				t.Fatalf("%d of %d completions, and %d ready", seen, sent, r.Ready())
			}
		}
	})
}

func TestFullSubmissionQueue(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		for range 4 {
			entry(t, r).PrepNop()
		}
		if r.SQE() != nil || r.Prepared() != 4 {
			t.Fatalf("a queue of 4 entries has a fifth, or Prepared() = %d", r.Prepared())
		}
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		entry(t, r).PrepNop()
		completions(t, r, 5)
	})
}

func TestReusedEntryIsZeroed(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		for range 4 {
			s := entry(t, r)
			*s = SQE{Off: 1, Addr: 2, Len: 3, OpFlags: 1 << 30, BufIndex: 5, SpliceFdIn: 7, Addr3: 8, _pad: 9}
			s.Opcode = OpShutdown // which refuses such an entry
		}
		for _, c := range completions(t, r, 4) {
			if c.Res != -int32(unix.EINVAL) {
				t.Errorf("a bad entry ended with %d", c.Res)
			}
		}
		for range 4 {
			if s := entry(t, r); *s != (SQE{}) {
				t.Errorf("a reused entry is %+v", *s)
			}
		}
	})
}

func TestOverflowLosesNothing(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		const total = 64
		for i := range uint64(total) {
			s := r.SQE()
			if s == nil {
				if err := r.Submit(); err != nil {
					t.Fatal(err)
				}
				s = entry(t, r)
			}
			s.PrepNop()
			s.UserData = i
		}
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		if !r.Overflowed() || r.Ready() != 8 {
			t.Fatalf("Overflowed() = %v, Ready() = %d after %d requests", r.Overflowed(), r.Ready(), total)
		}
		seen := make(map[uint64]bool)
		for _, c := range completions(t, r, total) {
			if seen[c.UserData] {
				t.Errorf("completion %d came twice", c.UserData)
			}
			seen[c.UserData] = true
		}
		if err := r.Enter(); err != nil || r.Overflowed() || r.Ready() != 0 {
			t.Errorf("Look() = %v, Overflowed() = %v, Ready() = %d at the end", err, r.Overflowed(), r.Ready())
		}
	})
}

func TestWaitEndsAfterTimeout(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		const timeout = 20 * time.Millisecond
		// A signal may end a Wait early, so that only the sum of several is sure.
		start := time.Now()
		for time.Since(start) < timeout {
			before := r.Enters()
			if err := r.Wait(timeout); err != nil {
				t.Fatal(err)
			}
			if r.Enters() != before+1 {
				t.Fatalf("Wait entered the kernel %d times", r.Enters()-before)
			}
		}
		if c := r.PeekCQE(); c != nil {
			t.Errorf("a completion from nowhere: %+v", *c)
		}
	})
}

func TestWaitSubmits(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		for _, timeout := range []time.Duration{-1, 0, patience} {
			before := r.Enters()
			entry(t, r).PrepNop()
			if err := r.Wait(timeout); err != nil {
				t.Fatal(err)
			}
			if r.Ready() != 1 || r.Enters() != before+1 {
				t.Fatalf("Wait(%v): Ready() = %d after %d enters", timeout, r.Ready(), r.Enters()-before)
			}
			if err := r.Wait(-1); err != nil { // there is one already
				t.Fatal(err)
			}
			r.Advance()
		}
	})
}

func TestLookEntersOnlyWhenNeeded(t *testing.T) {
	for _, c := range []struct {
		shown  uint32    // by the kernel, in the SQ flags
		enters [3]uint64 // for each of the flavours
	}{
		{0, [3]uint64{1, 0, 0}},
		{SQTaskrun, [3]uint64{1, 1, 1}},
		{SQCQOverflow, [3]uint64{1, 1, 1}},
	} {
		for i, f := range flavours {
			t.Run(fmt.Sprintf("%s flags %d", f.name, c.shown), func(t *testing.T) {
				r := openRing(t, 4, 8, f.flags)
				r.sqFlags = &c.shown
				if err := r.Enter(); err != nil {
					t.Fatal(err)
				}
				if r.Enters() != c.enters[i] {
					t.Errorf("Look entered %d times, want %d", r.Enters(), c.enters[i])
				}
			})
		}
	}
}

// A completion that needs task work has to appear by Look alone, on every kind of ring.
func TestLookRunsTaskWork(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		entry(t, r).PrepPollAdd(a, unix.POLLIN, false)
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		write(t, b, "x")
		for deadline := time.Now().Add(patience); r.PeekCQE() == nil; {
			if err := r.Enter(); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(deadline) {
				t.Fatal("Look does not show the completion")
			}
		}
		if c := r.PeekCQE(); c.Res != unix.POLLIN {
			t.Errorf("%+v", *c)
		}
	})
}

// Without SetupSubmitAll the kernel stops behind a bad entry, and leaves without posting completions.
func TestShortSubmission(t *testing.T) {
	r := openRing(t, 4, 8, SetupSingleIssuer|SetupDeferTaskrun|SetupRDisabled)
	for _, next := range []func() error{r.Enter, func() error { return r.Wait(-1) }} {
		a, b := socketPair(t)
		s := entry(t, r)
		s.PrepPollAdd(a, unix.POLLIN, false)
		s.UserData = 1
		if err := r.Submit(); err != nil {
			t.Fatal(err)
		}
		write(t, b, "x")
		s = entry(t, r)
		s.Opcode = 255
		s.UserData = 2
		entry(t, r).PrepNop()
		if err := next(); err != nil {
			t.Fatal(err)
		}
		if r.Ready() != 2 || r.Prepared() != 1 {
			t.Fatalf("Ready() = %d, Prepared() = %d, want 2 and 1", r.Ready(), r.Prepared())
		}
		completions(t, r, 3)
	}
}

func TestDisabledRing(t *testing.T) {
	r, err := New(4, 0, SetupRDisabled)
	if err != nil {
		refused(t, err)
	}
	defer r.Close()
	entry(t, r).PrepNop()
	if err := r.Submit(); !errors.Is(err, unix.EBADFD) {
		t.Errorf("Submit before Enable: %v", err)
	}
	for range 2 {
		if err := r.Enable(); err != nil {
			t.Fatal(err)
		}
	}
	completion(t, r)
}

func TestRingBelongsToItsThread(t *testing.T) {
	r := deferredRing(t)
	stranger := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		stranger <- r.Enter()
	}()
	if err := <-stranger; !errors.Is(err, unix.EEXIST) {
		t.Errorf("Look on a strange thread: %v", err)
	}
}

func TestSetupErrors(t *testing.T) {
	if _, err := New(4, 0, SetupSQPoll); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SQPOLL: %v", err)
	}
	r, err := New(4, 0, 0)
	if err != nil {
		refused(t, err)
	}
	defer r.Close()
	if _, err := New(0, 0, 0); !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "uring: setup: ") {
		t.Errorf("no entries: %v", err)
	}
	flags, err := unix.FcntlInt(uintptr(r.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v: not close-on-exec", flags, err)
	}
}

func TestRegisteredRingFD(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		if err := r.RegisterRingFD(); err != nil {
			t.Skip(err)
		}
		if err := r.RegisterRingFD(); err != nil {
			t.Fatal(err)
		}
		entry(t, r).PrepNop()
		completion(t, r)
		if r.enterFlags != EnterRegisteredRing || r.enterFD > 15 {
			t.Errorf("enters by %d with flags %#x", r.enterFD, r.enterFlags)
		}
		// A thread has 16 places. Close has to give them back.
		for range 40 {
			other, err := New(4, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := other.RegisterRingFD(); err != nil {
				t.Fatal(err)
			}
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
		}
		entry(t, r).PrepNop()
		completion(t, r)
	})
}

// An index belongs to a thread. Closed on another, a ring must not give up that one's place.
func TestRegisteredRingFDOfAnotherThread(t *testing.T) {
	mine := openRing(t, 4, 8, 0)
	if err := mine.RegisterRingFD(); err != nil {
		t.Skip(err)
	}
	failed := make(chan error)
	made := make(chan *Ring)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		other, err := New(4, 0, 0)
		if err == nil {
			err = other.RegisterRingFD()
		}
		made <- other
		failed <- err
	}()
	other := <-made
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if other.enterFD != mine.enterFD {
		t.Fatalf("the threads use the places %d and %d", mine.enterFD, other.enterFD)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	entry(t, mine).PrepNop()
	completion(t, mine)
}

func TestEnterError(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		0: nil, unix.EINTR: nil, unix.ETIME: nil, unix.EAGAIN: unix.EAGAIN, unix.EBUSY: unix.EBUSY,
	} {
		if got := enterError(errno); got != want {
			t.Errorf("%v became %v", errno, got)
		}
	}
	if err := enterError(unix.EBADR); !errors.Is(err, unix.EBADR) || err.Error() == unix.EBADR.Error() {
		t.Errorf("EBADR became %v", err)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		var failed error
		turn := func(next func() error) func() {
			return func() {
				s := r.SQE()
				s.PrepNop()
				s.UserData = 1
				if err := next(); err != nil {
					failed = err
				}
				for r.PeekCQE() != nil {
					r.Advance()
				}
			}
		}
		for name, next := range map[string]func() error{
			"Look": r.Enter,
			"Wait": func() error { return r.Wait(time.Second) },
		} {
			if n := testing.AllocsPerRun(200, turn(next)); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
		if failed != nil {
			t.Error(failed)
		}
	})
}

func TestCloseTwice(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		entry(t, r).PrepNop()
		for range 2 {
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if r.SQE() != nil || r.PeekCQE() != nil || r.Prepared() != 0 || r.Ready() != 0 || r.FD() != -1 {
			t.Error("a closed ring has something left")
		}
		if err := r.Wait(-1); !errors.Is(err, unix.EBADF) {
			t.Errorf("Wait on a closed ring: %v", err)
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cycle := func() {
		r, err := New(8, 64, flavours[1].flags)
		if err != nil {
			refused(t, err)
		}
		if err := r.RegisterRingFD(); err != nil {
			t.Log(err)
		}
		b, err := NewBufRing(r, 0, 16384, 0)
		if err != nil {
			t.Fatal(err)
		}
		entry(t, r).PrepNop()
		completion(t, r)
		if err := errors.Join(b.Close(), r.Close()); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before := takeInventory(t)
	for range 4000 {
		cycle()
	}
	after := takeInventory(t)
	// One buffer ring is 256 KiB: 4000 of them left mapped would be 1000 MiB. The address space also grows by heap
	// arenas of Go, and of the C library for each thread under the race detector: 64 MiB each.
	if after.fds > before.fds || after.rings > before.rings || after.mapped > before.mapped+512<<20 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

// inventory is what a ring could leave behind.
type inventory struct {
	fds    int // io_uring descriptors open
	rings  int // mappings of io_uring descriptors
	mapped int // bytes of the address space
}

func takeInventory(t *testing.T) (v inventory) {
	t.Helper()
	links, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if name, err := os.Readlink("/proc/self/fd/" + l.Name()); err == nil && strings.Contains(name, "io_uring") {
			v.fds++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	v.rings = strings.Count(string(maps), "io_uring")
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(statm))[0])
	if err != nil {
		t.Fatal(err)
	}
	v.mapped = pages * os.Getpagesize()
	return v
}

func TestWakerWakesWait(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		m := messageTo(t, r, 0xfeed, 7)
		tid := unix.Gettid()
		for range 20 {
			sent := make(chan error, 1)
			go func() {
				awaitSleep(tid)
				sent <- m.Wake()
			}()
			if c := completion(t, r); c.UserData != 0xfeed || c.Res != 7 {
				t.Fatalf("%+v", c)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWakerFromManyGoroutines(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		m := messageTo(t, r, 1, 0)
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 8 {
			wg.Go(func() {
				for range 50 {
					if err := m.Wake(); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		completions(t, r, 8*50)
	})
}

func TestWakerErrors(t *testing.T) {
	a, _ := socketPair(t)
	for _, fd := range []int{-1, a} {
		if err := NewWaker(fd, 0, 0).Wake(); err == nil {
			t.Errorf("no error from descriptor %d", fd)
		}
	}
}

// messageTo makes a sender, or skips where the kernel has none.
func messageTo(t *testing.T, r *Ring, userData uint64, res uint32) *Waker {
	t.Helper()
	m := NewWaker(r.FD(), userData, res)
	if err := m.Wake(); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EBADF) {
		t.Skip("needs Linux 6.13:", err)
	} else if err != nil {
		t.Fatal(err)
	}
	completion(t, r)
	return m
}

// awaitSleep returns when the thread sleeps in the kernel, or after a while in any case.
func awaitSleep(tid int) {
	for range 1000 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", tid))
		if _, state, ok := strings.Cut(string(stat), ") "); err != nil || ok && state[0] == 'S' {
			return
		}
		runtime.Gosched()
	}
}

func BenchmarkNop(b *testing.B) {
	r := deferredRing(b)
	b.ReportAllocs()
	for b.Loop() {
		r.SQE().PrepNop()
		if err := r.Enter(); err != nil {
			b.Fatal(err)
		}
		for r.PeekCQE() != nil {
			r.Advance()
		}
	}
}
