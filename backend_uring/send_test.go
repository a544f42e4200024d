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
	"github.com/tandem-io/tandem/backend_uring/ring"
)

// sendUntilFull sends, as owners do, until a send has to wait, and returns how much the kernel has taken in all.
func sendUntilFull(t *testing.T, d *Driver, o *witness) (taken int) {
	t.Helper()
	for end := time.Now().Add(patience); sendMore(t, d, o); {
		polls(t, d, 10*time.Millisecond)
		require.True(t, time.Now().Before(end), "it never waits")
	}
	for _, n := range o.sent {
		taken += n
	}
	return taken
}

// sendMore sends, unless a send waits.
func sendMore(t *testing.T, d *Driver, o *witness) bool {
	if o.sock.State&(sending|roomAwaited) != 0 {
		return false
	}
	require.NoError(t, o.sentErr)
	_, err := d.Send(&o.sock, [][]byte{make([]byte, 4<<20)})
	require.ErrorIs(t, err, backend.ErrPending)
	return true
}

// Behind a peer that has finished sending, and with an error queue, a send waits for room without a turn, and goes on
// when there is some.
func TestSendWaitsForRoom(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, o *witness, peer interface{ CloseWrite() error }){
		"half-closed peer": func(t *testing.T, _ *witness, peer interface{ CloseWrite() error }) {
			require.NoError(t, peer.CloseWrite())
		},
		"error queue": func(t *testing.T, o *witness, _ interface{ CloseWrite() error }) {
			const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
			require.NoError(t, unix.SetsockoptInt(o.sock.FD(), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags))
		},
		"nothing": func(*testing.T, *witness, interface{ CloseWrite() error }) {},
	} {
		for _, first := range []bool{true, false} {
			t.Run(map[bool]string{true: name + " before", false: name + " while it waits"}[first], func(t *testing.T) {
				forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
					o, peer := attachTCP(t, d)
					d.Receive(&o.sock, true)
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
					before := len(o.sent)
					read := make(chan int64)
					go func() {
						n, _ := io.CopyN(io.Discard, peer, int64(taken))
						read <- n
					}()
					until(t, d, func() bool {
						sendMore(t, d, o)
						return len(o.sent) > before && o.sent[len(o.sent)-1] > 0
					})
					require.NoError(t, o.sentErr)
					assert.EqualValues(t, taken, <-read)
					release(t, d, &o.recorder)
				})
			})
		}
	}
}

// A send that waits for room learns of a reset.
func TestSendThatWaitsLearnsOfReset(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attachTCP(t, d)
		d.Receive(&o.sock, true)
		require.NoError(t, peer.CloseWrite())
		sendUntilFull(t, d, o)
		require.NoError(t, peer.SetLinger(0))
		require.NoError(t, peer.Close())
		until(t, d, func() bool {
			if o.sentErr == nil {
				sendMore(t, d, o)
			}
			return o.sentErr != nil
		})
		assert.Contains(t, []error{unix.ECONNRESET, unix.EPIPE}, o.sentErr)
		release(t, d, &o.recorder)
	})
}

// Room that is reported while a send is still under way counts for it.
func TestRoomSeenEarly(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		a, _ := socketPair(t)
		o := attachFD(t, d, a)
		o.sock.State |= sending
		o.sock.InFlight++
		d.requests++
		d.room(&o.sock, ring.CQE{Res: unix.POLLOUT, Flags: ring.CQEFMore}, false)
		assert.Empty(t, o.sent)
		d.complete(ring.CQE{UserData: opSend | uint64(o.sock.ID), Res: -int32(unix.EAGAIN)}, nil)
		assert.Equal(t, []int{0}, o.sent)
		release(t, d, &o.recorder)
	})
}

// The wait for room goes on when its poll ends because the completion queue is full.
func TestRoomPollEndedByOverflow(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		a, _ := socketPair(t)
		o := attachFD(t, d, a)
		o.sock.State |= roomPolled | roomAwaited
		o.sock.InFlight++
		d.requests++
		d.complete(ring.CQE{UserData: opRoom | uint64(o.sock.ID), Res: unix.POLLRDHUP}, nil)
		assert.Empty(t, o.sent)
		until(t, d, func() bool { return len(o.sent) == 1 }) // there is room
		release(t, d, &o.recorder)
	})
}

// A socket with something in its error queue, and nothing else, costs no turns; what is in it goes.
func TestErrorQueue(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for _, on := range []bool{true, false} {
			o, peer := attachTCP(t, d)
			d.Receive(&o.sock, on)
			turn(t, d)
			const flags = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE | unix.SOF_TIMESTAMPING_OPT_TSONLY
			require.NoError(t, unix.SetsockoptInt(o.sock.FD(), unix.SOL_SOCKET, unix.SO_TIMESTAMPING, flags))
			_, err := d.Send(&o.sock, [][]byte{[]byte("stamped")})
			require.ErrorIs(t, err, backend.ErrPending)
			until(t, d, func() bool { return len(o.sent) > 0 })
			polls(t, d, 20*time.Millisecond)
			assert.False(t, backend.HasError(o.sock.FD()))
			assert.LessOrEqual(t, polls(t, d, 100*time.Millisecond), 3, "turns in which nothing happened")
			assert.Zero(t, o.broken)
			assert.Zero(t, o.sock.State&hung, "the connection is well")
			_, err = peer.Write([]byte("answer"))
			require.NoError(t, err)
			d.Receive(&o.sock, true)
			until(t, d, func() bool { return string(o.got) == "answer" })
			release(t, d, &o.recorder)
		}
	})
}
