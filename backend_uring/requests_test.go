//go:build linux

package uring

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Releasing a socket ends its own requests, and none of another socket that shares its open file.
func TestReleaseLeavesOthersOfTheFileAlone(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		one, peer := attach(t, d)
		fd, err := backend.Duplicate(one.FD())
		require.NoError(t, err)
		t.Cleanup(func() { backend.CloseFD(fd) })
		other := drivertest.Attach(t, d, fd)
		d.Receive(&other.Socket, false)
		_, err = d.Send(&other.Socket, [][]byte{make([]byte, 8<<20)})
		require.ErrorIs(t, err, backend.ErrPending)
		until(t, d, func() bool { return len(other.Sends) == 1 })
		_, err = d.Send(&other.Socket, [][]byte{make([]byte, 8<<20)}) // waits for room
		require.ErrorIs(t, err, backend.ErrPending)
		turn(t, d)
		d.Release(&one.Socket)
		until(t, d, func() bool { return one.Gone })
		polls(t, d, 20*time.Millisecond)
		assert.Equal(t, watched|sending, other.Socket.State&(watched|sending), "requests of the other")
		assert.Len(t, other.Sends, 1)
		got, p := other.Sends[0], make([]byte, 1<<20)
		for len(other.Sends) < 2 {
			n, err := unix.Read(peer, p)
			require.True(t, err == nil || err == unix.EAGAIN, "read: %v", err)
			got -= max(n, 0)
			until(t, d, func() bool { return got > 0 || len(other.Sends) > 1 })
		}
		require.NoError(t, other.SendErr)
		release(t, d, other)
	})
}

// A socket stays in the table until its last request has ended.
func TestReleaseWaits(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, _ := attach(t, d)
		d.Receive(&o.Socket, false)
		until(t, d, func() bool { return o.Socket.State&armed == 0 })
		require.EqualValues(t, 1, o.Socket.InFlight, "the watch")
		d.Release(&o.Socket)
		assert.Same(t, &o.Socket, d.Lookup(o.Socket.ID))
		assert.False(t, o.Gone)
		release(t, d, o)
	})
}

// A cancellation that did not find its request, though it is in flight, is repeated.
func TestMissedCancellation(t *testing.T) {
	missed := func(t *testing.T, d *Driver, o *drivertest.Recorder) {
		completed(d, opCancel, &o.Socket, -int32(unix.ENOENT))
	}
	t.Run("release", func(t *testing.T) {
		forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
			o, _ := attach(t, d)
			o.Socket.State |= releasing // as Release does, and nothing has been cancelled
			missed(t, d, o)
			until(t, d, func() bool { return o.Gone })
		})
	})
	t.Run("pause", func(t *testing.T) {
		forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
			o, _ := attach(t, d)
			o.Socket.State = o.Socket.State&^wantReceive | cancelling
			missed(t, d, o)
			until(t, d, func() bool { return o.Socket.State&armed == 0 })
			release(t, d, o)
		})
	})
}

// When the completion queue overflows multishot requests end. All of them are armed again.
func TestRequestsEndedByOverflow(t *testing.T) {
	const n = 40
	forEachRung(t, Config{Entries: 4, CompletionEntries: 8}, func(t *testing.T, d *Driver) {
		var all []*drivertest.Recorder
		var peers []int
		count := func(is func(*drivertest.Recorder) bool) (n int) {
			for _, o := range all {
				if is(o) {
					n++
				}
			}
			return n
		}
		for range n {
			o, peer := attach(t, d)
			all, peers = append(all, o), append(peers, peer)
		}
		overflow := func(do func(i int)) {
			until(t, d, func() bool {
				return count(func(o *drivertest.Recorder) bool { return o.Socket.State&watched != 0 }) == n
			})
			polls(t, d, 5*time.Millisecond)
			for i := range all {
				do(i)
			}
		}
		for range 3 {
			overflow(func(i int) { drivertest.Send(t, peers[i], []byte("x")) })
			until(t, d, func() bool { return count(func(o *drivertest.Recorder) bool { return string(o.Got) == "x" }) == n })
			for _, o := range all {
				o.Got = nil
			}
		}
		require.NotZero(t, d.count[backend.Overflows], "nothing was tested")
		for i, o := range all {
			d.Receive(&o.Socket, i%2 == 0)
		}
		overflow(func(i int) { drivertest.Shut(t, peers[i], unix.SHUT_WR) })
		until(t, d, func() bool {
			return count(func(o *drivertest.Recorder) bool { return o.EndErr == io.EOF || o.Socket.State&hung != 0 }) == n
		})
		polls(t, d, 20*time.Millisecond)
		require.LessOrEqual(t, polls(t, d, 50*time.Millisecond), 5, "turns in which nothing happened")
		for _, o := range all {
			o.HangUps = 0
		}
		overflow(func(i int) {
			drivertest.Shut(t, peers[i], unix.SHUT_RD)
			drivertest.Shut(t, all[i].FD(), unix.SHUT_RDWR)
		})
		until(t, d, func() bool { return count(func(o *drivertest.Recorder) bool { return o.HangUps > 0 }) == n })
		release(t, d, all...)
	})
}

// The driver can be woken and accepts connections even after an overflow.
func TestAcceptAndWakeAfterOverflow(t *testing.T) {
	const n = 40
	forEachRung(t, Config{Entries: 4, CompletionEntries: 8, EventFD: true}, func(t *testing.T, d *Driver) {
		l := drivertest.Listen(t, 2*n)
		o := drivertest.Attach(t, d, l)
		d.Accept(&o.Socket, true)
		turn(t, d)
		for round := 1; round <= 2; round++ {
			for range n {
				drivertest.Dial(t, l)
			}
			d.Wake()
			until(t, d, func() bool { return len(o.Conns) == round*n })
		}
		for _, fd := range o.Conns {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, "close-on-exec")
			backend.CloseFD(fd)
		}
		for range 3 {
			polls(t, d, time.Millisecond)
			d.Wake()
			require.Less(t, drivertest.Sleep(t, d), patience, "Wake ended no sleep")
		}
		release(t, d, o)
	})
}

// The kernel may fail any request, even a poll. Each failure is reported.
func TestFailedRequests(t *testing.T) {
	for name, c := range map[string]struct {
		op       uint64
		inFlight uint32 // the bit of the request that fails
		state    uint32 // the other bits
		reported func(o *drivertest.Recorder) error
	}{
		"connect": {opConnect, connecting, 0, func(o *drivertest.Recorder) error { return o.Connects[0] }},
		"watch":   {opWatch, watched, stream | wantReceive, func(o *drivertest.Recorder) error { return o.EndErr }},
		"room":    {opRoom, roomPolled, roomAwaited, func(o *drivertest.Recorder) error { return o.SendErr }},
		"receive": {opReceive, armed, stream | wantReceive, func(o *drivertest.Recorder) error { return o.EndErr }},
	} {
		t.Run(name, func(t *testing.T) {
			forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
				a, _ := drivertest.Sockets(t)
				o := drivertest.Attach(t, d, a)
				o.Socket.State = c.state
				pretend(d, &o.Socket, c.inFlight)
				completed(d, c.op, &o.Socket, -int32(unix.ENOMEM))
				polls(t, d, 5*time.Millisecond)
				assert.Equal(t, error(unix.ENOMEM), c.reported(o))
				assert.Equal(t, 1, o.Ends+len(o.Connects)+len(o.Sends), "reports")
				release(t, d, o)
			})
		})
	}
}

// A receive that the kernel ends for no reason of the stream's goes on.
func TestReceiveGoesOn(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for _, errno := range []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ECANCELED} {
			a, peer := drivertest.Sockets(t)
			o := drivertest.Attach(t, d, a)
			o.Socket.State = stream | wantReceive
			pretend(d, &o.Socket, armed)
			completed(d, opReceive, &o.Socket, -int32(errno))
			drivertest.Send(t, peer, []byte("x"))
			until(t, d, func() bool { return string(o.Got) == "x" })
			assert.Zero(t, o.Ends, "%v", errno)
			release(t, d, o)
		}
	})
}

// A connect that is still in progress when its poll ends is waited for.
func TestConnectGoesOn(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, _ := drivertest.TCPPair(t, d)
		d.Connect(&o.Socket)
		turn(t, d)
		until(t, d, func() bool { return len(o.Connects) > 0 })
		o.Connects = nil
		pretend(d, &o.Socket, connecting)
		completed(d, opConnect, &o.Socket, unix.POLLRDHUP)
		assert.Empty(t, o.Connects)
		until(t, d, func() bool { return len(o.Connects) > 0 })
		assert.NoError(t, o.Connects[0])
		release(t, d, o)
	})
}

// Wake ends a sleep even if the kernel refuses its message, as a seccomp filter makes it do.
func TestWakeWithoutMessages(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		d.waker.ring = ring.NewWaker(-1, opWake, 0)
		for range 5 {
			polls(t, d, time.Millisecond)
			go d.Wake()
			require.Less(t, drivertest.Sleep(t, d), patience, "Wake ended no sleep")
		}
	})
}

// A driver that cannot be woken any longer has failed.
func TestWakerFails(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for range maxPollFailures + 1 {
			_, err := d.Poll(0)
			require.NoError(t, err)
			d.complete(ring.CQE{UserData: opEvent, Res: -int32(unix.ENOMEM)}, nil)
		}
		_, err := d.Poll(0)
		require.ErrorIs(t, err, unix.ENOMEM)
	})
}
