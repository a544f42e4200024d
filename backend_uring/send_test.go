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

// sendUntilFull sends, as owners do, until a send has to wait, and returns how many bytes the kernel has taken in all.
func sendUntilFull(t *testing.T, d *Driver, o *drivertest.Recorder) (taken int) {
	t.Helper()
	for end := time.Now().Add(patience); sendMore(t, d, o); {
		polls(t, d, 10*time.Millisecond)
		require.True(t, time.Now().Before(end), "it never waits")
	}
	for _, n := range o.Sends {
		taken += n
	}
	return taken
}

// sendMore sends, unless a send waits.
func sendMore(t *testing.T, d *Driver, o *drivertest.Recorder) bool {
	if o.Socket.State&(sending|roomAwaited) != 0 {
		return false
	}
	require.NoError(t, o.SendErr)
	_, err := d.Send(&o.Socket, [][]byte{make([]byte, 4<<20)})
	require.ErrorIs(t, err, backend.ErrPending)
	return true
}

// A send waits for room without any turns, even if the peer has finished sending or the error queue is not empty, and
// continues when there is room.
func TestSendWaitsForRoom(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, o *drivertest.Recorder, peer interface{ CloseWrite() error }){
		"half-closed peer": func(t *testing.T, _ *drivertest.Recorder, peer interface{ CloseWrite() error }) {
			require.NoError(t, peer.CloseWrite())
		},
		"error queue": func(t *testing.T, o *drivertest.Recorder, _ interface{ CloseWrite() error }) {
			drivertest.StampSends(t, o.FD())
		},
		"nothing": func(*testing.T, *drivertest.Recorder, interface{ CloseWrite() error }) {},
	} {
		for _, first := range []bool{true, false} {
			t.Run(map[bool]string{true: name + " before", false: name + " while it waits"}[first], func(t *testing.T) {
				forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
					o, peer := drivertest.TCPPair(t, d)
					d.Receive(&o.Socket, true)
					turn(t, d)
					if first {
						disturb(t, o, peer)
					}
					taken := sendUntilFull(t, d, o)
					if !first {
						disturb(t, o, peer)
					}
					polls(t, d, 20*time.Millisecond)
					taken = sendUntilFull(t, d, o)
					assert.LessOrEqual(t, polls(t, d, 100*time.Millisecond), 5, "turns in which nothing could move")
					before := len(o.Sends)
					read := make(chan int64)
					go func() {
						n, _ := io.CopyN(io.Discard, peer, int64(taken))
						read <- n
					}()
					until(t, d, func() bool {
						sendMore(t, d, o)
						return len(o.Sends) > before && o.Sends[len(o.Sends)-1] > 0
					})
					require.NoError(t, o.SendErr)
					assert.EqualValues(t, taken, <-read)
					release(t, d, o)
				})
			})
		}
	}
}

// A send that waits for room learns of a reset.
func TestSendThatWaitsLearnsOfReset(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := drivertest.TCPPair(t, d)
		d.Receive(&o.Socket, true)
		require.NoError(t, peer.CloseWrite())
		sendUntilFull(t, d, o)
		require.NoError(t, peer.SetLinger(0))
		require.NoError(t, peer.Close())
		until(t, d, func() bool {
			if o.SendErr == nil {
				sendMore(t, d, o)
			}
			return o.SendErr != nil
		})
		assert.Contains(t, []error{unix.ECONNRESET, unix.EPIPE}, o.SendErr)
		release(t, d, o)
	})
}

// Room that is reported during a send counts for that send.
func TestRoomSeenEarly(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		a, _ := drivertest.Sockets(t)
		o := drivertest.Attach(t, d, a)
		pretend(d, &o.Socket, sending)
		d.room(&o.Socket, ring.CQE{Res: unix.POLLOUT, Flags: ring.CQEFMore}, false)
		assert.Empty(t, o.Sends)
		completed(d, opSend, &o.Socket, -int32(unix.EAGAIN))
		assert.Equal(t, []int{0}, o.Sends)
		release(t, d, o)
	})
}

// Room that was reported before a send does not count for it: the send would be tried again without end.
func TestRoomSeenBefore(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		for n := 1; n > 0; {
			n, _ = backend.Send(o.FD(), make([]byte, 64<<10)) // until there is no room
		}
		o.Socket.State |= roomSeen | dontWait
		_, err := d.Send(&o.Socket, [][]byte{[]byte("x")})
		require.ErrorIs(t, err, backend.ErrPending)
		until(t, d, func() bool { return o.Socket.State&sending == 0 })
		polls(t, d, 5*time.Millisecond)
		require.Empty(t, o.Sends, "there is no room")
		for n := 1; n > 0; {
			n, _ = backend.Recv(peer, make([]byte, 64<<10))
		}
		until(t, d, func() bool { return len(o.Sends) == 1 })
		release(t, d, o)
	})
}

// The wait for room continues when its poll ends because the completion queue is full.
func TestRoomPollEndedByOverflow(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		a, _ := drivertest.Sockets(t)
		o := drivertest.Attach(t, d, a)
		o.Socket.State |= roomAwaited
		pretend(d, &o.Socket, roomPolled)
		completed(d, opRoom, &o.Socket, unix.POLLRDHUP)
		assert.Empty(t, o.Sends)
		until(t, d, func() bool { return len(o.Sends) == 1 }) // there is room
		release(t, d, o)
	})
}
