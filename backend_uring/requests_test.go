//go:build linux

package uring

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// Releasing one socket ends its own requests, and none of another that shares its open file.
func TestReleaseLeavesOthersOfTheFileAlone(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		one, peer := attach(t, d)
		fd, err := backend.Duplicate(one.sock.FD())
		require.NoError(t, err)
		t.Cleanup(func() { backend.CloseFD(fd) })
		other := attachFD(t, d, fd)
		d.Receive(&other.sock, false)
		_, err = d.Send(&other.sock, [][]byte{make([]byte, 8<<20)})
		require.ErrorIs(t, err, backend.ErrPending)
		until(t, d, func() bool { return len(other.sent) == 1 })
		_, err = d.Send(&other.sock, [][]byte{make([]byte, 8<<20)}) // waits for room
		require.ErrorIs(t, err, backend.ErrPending)
		turn(t, d)
		d.Release(&one.sock)
		until(t, d, func() bool { return one.released })
		polls(t, d, 20*time.Millisecond)
		assert.Equal(t, watched|sending, other.sock.State&(watched|sending), "requests of the other")
		assert.Len(t, other.sent, 1)
		got, p := other.sent[0], make([]byte, 1<<20)
		for len(other.sent) < 2 {
			n, err := unix.Read(peer, p)
			require.True(t, err == nil || err == unix.EAGAIN, "read: %v", err)
			got -= max(n, 0)
			until(t, d, func() bool { return got > 0 || len(other.sent) > 1 })
		}
		require.NoError(t, other.sentErr)
		release(t, d, &other.recorder)
	})
}

// A socket stays in the table until its last request has ended.
func TestReleaseWaits(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, _ := attach(t, d)
		d.Receive(&o.sock, false)
		until(t, d, func() bool { return o.sock.State&armed == 0 })
		require.EqualValues(t, 1, o.sock.InFlight, "the watch")
		d.Release(&o.sock)
		assert.Same(t, &o.sock, d.Lookup(o.sock.ID))
		assert.False(t, o.released)
		release(t, d, o)
	})
}

// A cancellation that did not find its request, though it is in flight, is made again.
func TestMissedCancellation(t *testing.T) {
	missed := func(t *testing.T, d *Driver, o *recorder) {
		d.complete(ring.CQE{UserData: opCancel | uint64(o.sock.ID), Res: -int32(unix.ENOENT)}, nil)
	}
	t.Run("release", func(t *testing.T) {
		forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
			o, _ := attach(t, d)
			o.sock.State |= releasing // as Release does, and nothing has been cancelled
			missed(t, d, o)
			until(t, d, func() bool { return o.released })
		})
	})
	t.Run("pause", func(t *testing.T) {
		forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
			o, _ := attach(t, d)
			o.sock.State = o.sock.State&^wantReceive | cancelling
			missed(t, d, o)
			until(t, d, func() bool { return o.sock.State&armed == 0 })
			release(t, d, o)
		})
	})
}

// The completion queue overflows, which ends multishot requests: all of them go on.
func TestRequestsEndedByOverflow(t *testing.T) {
	const n = 40
	forEachRung(t, Config{Entries: 4, CompletionEntries: 8}, func(t *testing.T, d *Driver) {
		var all []*recorder
		var peers []int
		count := func(is func(*recorder) bool) (n int) {
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
			until(t, d, func() bool { return count(func(o *recorder) bool { return o.sock.State&watched != 0 }) == n })
			polls(t, d, 5*time.Millisecond)
			for i := range all {
				do(i)
			}
		}
		for range 3 {
			overflow(func(i int) { send(t, peers[i], []byte("x")) })
			until(t, d, func() bool { return count(func(o *recorder) bool { return string(o.got) == "x" }) == n })
			for _, o := range all {
				o.got = nil
			}
		}
		require.NotZero(t, d.count[backend.Overflows], "nothing was tested")
		for i, o := range all {
			d.Receive(&o.sock, i%2 == 0)
		}
		overflow(func(i int) { shut(t, peers[i], unix.SHUT_WR) })
		until(t, d, func() bool {
			return count(func(o *recorder) bool { return o.ended == io.EOF || o.sock.State&hung != 0 }) == n
		})
		polls(t, d, 20*time.Millisecond)
		require.LessOrEqual(t, polls(t, d, 50*time.Millisecond), 5, "turns in which nothing happened")
		for _, o := range all {
			o.broken = 0
		}
		overflow(func(i int) { shut(t, peers[i], unix.SHUT_RD); shut(t, all[i].sock.FD(), unix.SHUT_RDWR) })
		until(t, d, func() bool { return count(func(o *recorder) bool { return o.broken > 0 }) == n })
		release(t, d, all...)
	})
}

// The driver can be woken, and accepts, also after an overflow.
func TestAcceptAndWakeAfterOverflow(t *testing.T) {
	const n = 40
	forEachRung(t, Config{Entries: 4, CompletionEntries: 8, EventFD: true}, func(t *testing.T, d *Driver) {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		defer unix.Close(fd)
		require.NoError(t, errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 2*n)))
		o := attachFD(t, d, fd)
		d.Accept(&o.sock, true)
		turn(t, d)
		for round := 1; round <= 2; round++ {
			for range n {
				c := connected(t, fd)
				defer unix.Close(c)
			}
			d.Wake()
			until(t, d, func() bool { return len(o.accepted) == round*n })
		}
		for _, fd := range o.accepted {
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, "close-on-exec")
			backend.CloseFD(fd)
		}
		for range 3 {
			polls(t, d, time.Millisecond)
			d.Wake()
			require.Less(t, sleeps(t, d), patience, "Wake ended no sleep")
		}
		release(t, d, &o.recorder)
	})
}

// fail has a request in flight complete with an error, of which the kernel knows nothing.
func fail(d *Driver, o *witness, op uint64, bit uint32, errno unix.Errno) {
	o.sock.State |= bit
	o.sock.InFlight++
	d.requests++
	d.complete(ring.CQE{UserData: op | uint64(o.sock.ID), Res: -int32(errno)}, nil)
}

// The kernel may fail any request, a poll too. Each failure is reported.
func TestFailedRequests(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		start := func() *witness {
			a, _ := socketPair(t)
			return attachFD(t, d, a)
		}
		{ // subtests would run on other threads, which the ring refuses
			o := start()
			fail(d, o, opConnect, connecting, unix.ENOMEM)
			assert.Equal(t, []error{unix.ENOMEM}, o.connected)
			release(t, d, &o.recorder)
		}
		{
			o := start()
			o.sock.State |= stream | wantReceive
			fail(d, o, opWatch, watched, unix.ENOMEM)
			polls(t, d, 5*time.Millisecond)
			assert.Equal(t, error(unix.ENOMEM), o.ended)
			assert.Equal(t, 1, o.ends)
			release(t, d, &o.recorder)
		}
		{
			o := start()
			o.sock.State |= roomAwaited
			fail(d, o, opRoom, roomPolled, unix.ENOMEM)
			assert.Equal(t, error(unix.ENOMEM), o.sentErr)
			release(t, d, &o.recorder)
		}
		{
			o := start()
			o.sock.State |= stream | wantReceive
			fail(d, o, opReceive, armed, unix.ENOMEM)
			assert.Equal(t, error(unix.ENOMEM), o.ended)
			release(t, d, &o.recorder)
		}
	})
}

// A connect that is still going on when its poll ends is waited for.
func TestConnectGoesOn(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, _ := attachTCP(t, d)
		d.Connect(&o.sock)
		turn(t, d)
		until(t, d, func() bool { return len(o.connected) > 0 })
		o.connected = nil
		o.sock.State |= connecting
		o.sock.InFlight++
		d.requests++
		d.complete(ring.CQE{UserData: opConnect | uint64(o.sock.ID), Res: unix.POLLRDHUP}, nil)
		assert.Empty(t, o.connected)
		until(t, d, func() bool { return len(o.connected) > 0 })
		assert.NoError(t, o.connected[0])
		release(t, d, &o.recorder)
	})
}

// With the waker's message refused, as by a seccomp filter, a sleep is ended all the same.
func TestWakeWithoutMessages(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		d.waker.ring = ring.NewWaker(-1, opWake, 0)
		for range 5 {
			polls(t, d, time.Millisecond)
			go d.Wake()
			require.Less(t, sleeps(t, d), patience, "Wake ended no sleep")
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
