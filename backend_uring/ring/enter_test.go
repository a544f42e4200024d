//go:build linux

package ring

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestWaitEndsAfterTimeout(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		const timeout = 20 * time.Millisecond
		// A signal may end a Wait early, so only the sum of several is certain.
		for start := time.Now(); time.Since(start) < timeout; {
			before := r.Enters()
			require.NoError(t, r.Wait(timeout))
			require.Equal(t, before+1, r.Enters(), "enters")
		}
		assert.Nil(t, r.PeekCQE(), "a completion without a request")
	})
}

func TestWaitSubmits(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		for _, timeout := range []time.Duration{-1, 0, patience} {
			before := r.Enters()
			entry(t, r).PrepNop()
			require.NoError(t, r.Wait(timeout))
			require.EqualValues(t, 1, r.Ready(), "Wait(%v)", timeout)
			require.Equal(t, before+1, r.Enters(), "enters of Wait(%v)", timeout)
			require.NoError(t, r.Wait(-1)) // there is a completion already
			r.Advance()
		}
	})
}

func TestEnterOnlyWhenNeeded(t *testing.T) {
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
				require.NoError(t, r.Enter())
				assert.Equal(t, c.enters[i], r.Enters())
			})
		}
	}
}

// Enter alone shows a completion that needs task work, on every kind of ring.
func TestEnterRunsTaskWork(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		a, b := socketPair(t)
		entry(t, r).PrepPollAdd(a, unix.POLLIN, false)
		require.NoError(t, r.Submit())
		write(t, b, "x")
		for deadline := time.Now().Add(patience); r.PeekCQE() == nil; {
			require.NoError(t, r.Enter())
			require.True(t, time.Now().Before(deadline), "Enter does not show the completion")
		}
		assert.Equal(t, int32(unix.POLLIN), r.PeekCQE().Res)
	})
}

// Without SetupSubmitAll the kernel stops behind a bad entry, and returns without posting completions.
func TestShortSubmission(t *testing.T) {
	r := openRing(t, 4, 8, SetupSingleIssuer|SetupDeferTaskrun|SetupRDisabled)
	for name, next := range map[string]func() error{
		"Enter": r.Enter,
		"Wait":  func() error { return r.Wait(-1) },
	} {
		a, b := socketPair(t)
		s := entry(t, r)
		s.PrepPollAdd(a, unix.POLLIN, false)
		s.UserData = 1
		require.NoError(t, r.Submit())
		write(t, b, "x")
		s = entry(t, r)
		s.Opcode = 255
		s.UserData = 2
		entry(t, r).PrepNop()
		require.NoError(t, next(), name)
		require.EqualValues(t, 2, r.Ready(), "completions after %s", name)
		require.EqualValues(t, 1, r.Prepared(), "entries left by %s", name)
		completions(t, r, 3)
	}
}

func TestRingBelongsToItsThread(t *testing.T) {
	r := deferredRing(t)
	stranger := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		stranger <- r.Enter()
	}()
	assert.ErrorIs(t, <-stranger, unix.EEXIST, "Enter on another thread")
}

func TestEnterError(t *testing.T) {
	for errno, want := range map[syscall.Errno]error{
		0: nil, unix.EINTR: nil, unix.ETIME: nil, unix.EAGAIN: unix.EAGAIN, unix.EBUSY: unix.EBUSY,
	} {
		assert.Equal(t, want, enterError(errno), "%v", errno)
	}
	err := enterError(unix.EBADR)
	assert.ErrorIs(t, err, unix.EBADR)
	assert.NotEqual(t, unix.EBADR.Error(), err.Error(), "the step is missing")
}
