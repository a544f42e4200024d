//go:build linux

package ring

import (
	"math/rand/v2"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// flavours are the ways in which a driver may set up its ring, that of the newest kernel first.
var flavours = []struct {
	name  string
	flags uint32
}{
	{"deferred", SetupSubmitAll | SetupClamp | SetupSingleIssuer | SetupDeferTaskrun | SetupRDisabled | SetupNoSQArray},
	{"cooperative", SetupSubmitAll | SetupClamp | SetupCoopTaskrun | SetupTaskrunFlag},
	{"plain", 0},
}

// patience is how long a test waits for a completion.
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
	t.Cleanup(func() { assert.NoError(t, r.Close()) })
	require.NoError(t, r.Enable())
	return r
}

// refused ends a test that the kernel does not let run.
func refused(t testing.TB, err error) {
	t.Helper()
	require.NotEqual(t, "1", os.Getenv("TANDEM_REQUIRE_URING"), "TANDEM_REQUIRE_URING is set, but: %v", err)
	t.Skipf("SKIPPED, NOTHING WAS TESTED: io_uring is refused here: %v", err)
}

// deferredRing makes a ring of the kind that a driver gets from a current kernel.
func deferredRing(t testing.TB) *Ring {
	t.Helper()
	return openRing(t, 16, 64, flavours[0].flags)
}

// entry returns the next entry of a queue that has room.
func entry(t testing.TB, r *Ring) *SQE {
	t.Helper()
	s := r.SQE()
	require.NotNil(t, s, "the submission queue is full")
	return s
}

// completions submits the prepared entries, waits for n completions and takes them.
func completions(t testing.TB, r *Ring, n int) []CQE {
	t.Helper()
	var got []CQE
	for deadline := time.Now().Add(patience); len(got) < n; {
		require.NoError(t, r.Wait(max(time.Until(deadline), time.Millisecond)))
		for c := r.PeekCQE(); c != nil && len(got) < n; c = r.PeekCQE() {
			got = append(got, *c)
			r.Advance()
		}
		if len(got) < n {
			require.True(t, time.Now().Before(deadline), "%d of %d completions after %v: %+v", len(got), n, patience, got)
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
		sq, cq := r.Entries()
		require.Equal(t, [2]uint32{4, 8}, [2]uint32{sq, cq})
		var sent, seen uint64
		for sent < 5000 {
			n := 1 + rand.Uint32N(4)
			for range n {
				s := entry(t, r)
				s.PrepNop()
				s.UserData = sent
				sent++
			}
			require.Equal(t, n, r.Prepared())
			require.NoError(t, r.Submit())
			require.Zero(t, r.Prepared(), "after Submit")
			require.NoError(t, r.Enter())
			for c := r.PeekCQE(); c != nil; c = r.PeekCQE() {
				require.Equal(t, CQE{UserData: seen}, *c)
				seen++
				r.Advance()
			}
			require.Equal(t, sent, seen, "completions")
			require.Zero(t, r.Ready())
		}
	})
}

func TestFullSubmissionQueue(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		for range 4 {
			entry(t, r).PrepNop()
		}
		require.Nil(t, r.SQE(), "a queue of 4 entries has a fifth")
		require.EqualValues(t, 4, r.Prepared())
		require.NoError(t, r.Submit())
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
			assert.Equal(t, -int32(unix.EINVAL), c.Res, "the result of a bad entry")
		}
		for range 4 {
			assert.Equal(t, SQE{}, *entry(t, r), "a reused entry")
		}
	})
}

func TestOverflowLosesNothing(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		const total = 64
		for i := range uint64(total) {
			s := r.SQE()
			if s == nil {
				require.NoError(t, r.Submit())
				s = entry(t, r)
			}
			s.PrepNop()
			s.UserData = i
		}
		require.NoError(t, r.Submit())
		require.True(t, r.Overflowed(), "after %d requests", total)
		require.EqualValues(t, 8, r.Ready())
		seen := make(map[uint64]bool)
		for _, c := range completions(t, r, total) {
			assert.NotContains(t, seen, c.UserData, "it came twice")
			seen[c.UserData] = true
		}
		require.NoError(t, r.Enter())
		assert.False(t, r.Overflowed(), "at the end")
		assert.Zero(t, r.Ready(), "at the end")
	})
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
			"Enter": r.Enter,
			"Wait":  func() error { return r.Wait(time.Second) },
		} {
			assert.Zero(t, testing.AllocsPerRun(200, turn(next)), "allocations of %s", name)
		}
		assert.NoError(t, failed)
	})
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
