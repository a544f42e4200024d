//go:build linux

package epoll

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// sleeps are the ways to sleep: in Go's poller, in epoll_pwait, and there on a thread of its own.
var sleeps = map[string]func(*testing.T, *backend.Counters) *Driver{
	"parked": func(t *testing.T, count *backend.Counters) *Driver { return open(t, Config{}, count) },
	"alone": func(t *testing.T, count *backend.Counters) *Driver {
		d := open(t, Config{}, count)
		d.SleepAs(backend.Blocked)
		return d
	},
	"thread": func(t *testing.T, count *backend.Counters) *Driver {
		return open(t, Config{LockedThread: true}, count)
	},
}

// open makes a driver that lives as long as the test.
func open(t *testing.T, c Config, count *backend.Counters) *Driver {
	t.Helper()
	d, err := New(c)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, d.Close())
		d.Wake() // does nothing
	})
	require.NoError(t, d.Start(count))
	return d
}

// forEachSleep runs the test with a driver of each kind.
func forEachSleep(t *testing.T, test func(*testing.T, *Driver)) {
	for name, open := range sleeps {
		t.Run(name, func(t *testing.T) { test(t, open(t, new(backend.Counters))) })
	}
}

func TestDriver(t *testing.T) {
	for name, open := range sleeps {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T, count *backend.Counters) backend.Driver { return open(t, count) })
		})
	}
}

func TestHeldSleep(t *testing.T) {
	drivertest.RunHeld(t, func(t *testing.T, count *backend.Counters) backend.ParkingDriver { return open(t, Config{}, count) })
}

// A kernel before 5.11 has no timeout of less than a millisecond, and a filter may refuse what it does not know.
func TestHeldSleepIsRefused(t *testing.T) {
	d := open(t, Config{}, new(backend.Counters))
	d.SleepAs(backend.Held)
	epfd := d.epfd
	d.epfd = -1 // EBADF, as good as any other error
	assert.False(t, d.hold(backend.HeldTime))
	d.epfd = epfd
	begin := time.Now()
	for time.Since(begin) < 20*time.Millisecond {
		_, err := d.Poll(20 * time.Millisecond)
		require.NoError(t, err)
		require.True(t, d.cannotHold)
	}
	drivertest.RunHeldEvents(t, d)
}

func TestYield(t *testing.T) {
	drivertest.RunYield(t, func(t *testing.T, count *backend.Counters) backend.ParkingDriver { return open(t, Config{}, count) })
}

// Two sockets are ready at once. The first to be called releases the other, whose slot and descriptor number have a new
// holder at once.
func TestEventOfTheReleased(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		a, peerA := drivertest.Pair(t, d)
		b, peerB := drivertest.Pair(t, d)
		c, peerC := drivertest.Sockets(t)
		var next *drivertest.Recorder
		takeOver := func(other *drivertest.Recorder) func([]byte) {
			return func([]byte) {
				slot := other.Socket.ID.Slot()
				d.Release(&other.Socket)
				require.NoError(t, unix.Dup3(c, other.FD(), unix.O_CLOEXEC)) // closes it, and gives its number to c
				next = drivertest.Attach(t, d, other.FD())
				require.Equal(t, slot, next.Socket.ID.Slot(), "the slot of the next")
				d.Receive(&next.Socket, true)
			}
		}
		a.OnBytes, b.OnBytes = takeOver(b), takeOver(a)
		drivertest.Send(t, peerC, []byte("of the next"))
		drivertest.Send(t, peerA, []byte("a"))
		drivertest.Send(t, peerB, []byte("b"))
		require.Equal(t, 2, drivertest.Turn(t, d), "events at once")
		require.NotNil(t, next)
		require.Empty(t, next.Got, "an event of the one before")
		drivertest.Turn(t, d)
		assert.Equal(t, "of the next", string(next.Got))
		assert.NotEqual(t, a.Gone, b.Gone, "one is released")
	})
}

// Closing a descriptor does not end the kernel's interest in an open file that another descriptor shares. Release does.
func TestDuplicatedDescriptor(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		a, peer := drivertest.Sockets(t)
		fd, err := backend.Duplicate(a)
		require.NoError(t, err)
		o := drivertest.Attach(t, d, fd)
		d.Receive(&o.Socket, true)
		drivertest.Turn(t, d)
		d.Release(&o.Socket)
		backend.CloseFD(fd) // a shares its open file
		drivertest.Send(t, peer, []byte("for nobody"))
		assert.Equal(t, 1, drivertest.Turn(t, d), "the release")
		assert.True(t, o.Gone)
		for range 2 {
			assert.Zero(t, drivertest.Turn(t, d), "events of a socket that was released")
		}
		assert.Equal(t, backend.Outstanding{}, d.Outstanding())
	})
}

// The owner of a descriptor that epoll refuses learns of it, whatever it waits for.
func TestNotPollable(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		require.NoError(t, err)
		defer f.Close()
		fd := int(f.Fd())
		r, c, l := drivertest.Attach(t, d, fd), drivertest.Attach(t, d, fd), drivertest.Attach(t, d, fd)
		d.Receive(&r.Socket, true)
		d.Connect(&c.Socket)
		d.Accept(&l.Socket, true)
		drivertest.Turn(t, d)
		assert.Equal(t, error(syscall.EPERM), r.EndErr, "Receive")
		assert.Equal(t, []error{syscall.EPERM}, c.Connects, "Connect")
		assert.Equal(t, error(syscall.EPERM), l.AcceptErr, "Accept")
	})
}

// The buffer is given away only if much of it is used, and its memory is used again when it comes back.
func TestKeep(t *testing.T) {
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := drivertest.Pair(t, d)
		var kept func()
		var memory []byte
		o.OnBytes = func(p []byte) {
			if kept, memory = d.Keep(), p; kept == nil {
				memory = bytes.Clone(p)
			}
		}
		drivertest.Send(t, peer, []byte("little"))
		drivertest.Turn(t, d)
		require.Equal(t, "little", string(memory))
		assert.Nil(t, kept, "the whole buffer for a few bytes")
		assert.Zero(t, d.Outstanding().Buffers)
		want := bytes.Repeat([]byte("kept"), bufferSize/4/4)
		drivertest.Send(t, peer, want)
		drivertest.Turn(t, d)
		require.NotNil(t, kept)
		require.Len(t, memory, len(want))
		require.Equal(t, 1, d.Outstanding().Buffers)
		first, give := memory, kept
		drivertest.Send(t, peer, bytes.Repeat([]byte("next"), bufferSize/4/4))
		drivertest.Turn(t, d)
		assert.True(t, bytes.Equal(want, first), "memory that was kept has changed")
		give()
		kept()
		assert.Zero(t, d.Outstanding().Buffers)
		o.OnBytes = nil
		for before := &d.buf[0]; len(o.Got) < 3; {
			drivertest.Send(t, peer, []byte("x"))
			drivertest.Turn(t, d)
			assert.Same(t, before, &d.buf[0], "the memory of a receive that was not kept")
		}
	})
}
