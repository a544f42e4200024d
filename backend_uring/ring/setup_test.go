//go:build linux

package ring

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestSetupErrors(t *testing.T) {
	_, err := New(4, 0, SetupSQPoll)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	r, err := New(4, 0, 0)
	if err != nil {
		refused(t, err)
	}
	defer r.Close()
	_, err = New(0, 0, 0)
	assert.ErrorIs(t, err, unix.EINVAL, "no entries")
	assert.ErrorContains(t, err, "uring: setup: ")
	flags, err := unix.FcntlInt(uintptr(r.FD()), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC, "close-on-exec")
}

func TestDisabledRing(t *testing.T) {
	r, err := New(4, 0, SetupRDisabled)
	if err != nil {
		refused(t, err)
	}
	defer r.Close()
	entry(t, r).PrepNop()
	assert.ErrorIs(t, r.Submit(), unix.EBADFD, "Submit before Enable")
	for range 2 {
		require.NoError(t, r.Enable())
	}
	completion(t, r)
}

func TestRegisteredRingFD(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		if err := r.RegisterRingFD(); err != nil {
			t.Skip("NOT TESTED: needs Linux 5.18: ", err)
		}
		require.NoError(t, r.RegisterRingFD())
		entry(t, r).PrepNop()
		completion(t, r)
		assert.EqualValues(t, EnterRegisteredRing, r.enterFlags)
		assert.LessOrEqual(t, r.enterFD, uintptr(15))
		// A thread has 16 places. Close has to give them back.
		for range 40 {
			other, err := New(4, 0, 0)
			require.NoError(t, err)
			require.NoError(t, other.RegisterRingFD())
			require.NoError(t, other.Close())
		}
		entry(t, r).PrepNop()
		completion(t, r)
	})
}

// An index belongs to a thread. A ring that is closed on another thread does not give up that thread's place.
func TestRegisteredRingFDOfAnotherThread(t *testing.T) {
	mine := openRing(t, 4, 8, 0)
	if err := mine.RegisterRingFD(); err != nil {
		t.Skip("NOT TESTED: needs Linux 5.18: ", err)
	}
	failed := make(chan error)
	made := make(chan *Ring)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		other, err := New(4, 0, 0)
		if err == nil {
			err = other.RegisterRingFD()
		}
		made <- other
		failed <- err
	}()
	other := <-made
	require.NoError(t, <-failed)
	require.Equal(t, mine.enterFD, other.enterFD, "the threads use different places: nothing is tested")
	require.NoError(t, other.Close())
	entry(t, mine).PrepNop()
	completion(t, mine)
}

func TestCloseTwice(t *testing.T) {
	forEachFlavour(t, 4, 8, func(t *testing.T, r *Ring) {
		entry(t, r).PrepNop()
		for range 2 {
			require.NoError(t, r.Close())
		}
		assert.Nil(t, r.SQE())
		assert.Nil(t, r.PeekCQE())
		assert.Zero(t, r.Prepared())
		assert.Zero(t, r.Ready())
		assert.Equal(t, -1, r.FD())
		assert.ErrorIs(t, r.Wait(-1), unix.EBADF)
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
		require.NoError(t, err)
		entry(t, r).PrepNop()
		completion(t, r)
		require.NoError(t, errors.Join(b.Close(), r.Close()))
	}
	cycle()
	before := takeInventory(t)
	for range 4000 {
		cycle()
	}
	after := takeInventory(t)
	assert.LessOrEqual(t, after.fds, before.fds, "descriptors")
	assert.LessOrEqual(t, after.rings, before.rings, "mappings of rings")
	// One buffer ring is 256 KiB: 4000 of them left mapped would be 1000 MiB. The address space also grows by heap
	// arenas of Go, and of the C library for each thread under the race detector: 64 MiB each.
	assert.LessOrEqual(t, after.mapped, before.mapped+512<<20, "bytes mapped")
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
	require.NoError(t, err)
	for _, l := range links {
		if name, err := os.Readlink("/proc/self/fd/" + l.Name()); err == nil && strings.Contains(name, "io_uring") {
			v.fds++
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	v.rings = strings.Count(string(maps), "io_uring")
	statm, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[0])
	require.NoError(t, err)
	v.mapped = pages * os.Getpagesize()
	return v
}
