//go:build linux

package uring

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// A hang-up is reported even if it comes while a receive is wanted that is taken back before it was armed.
func TestHangUpWhileReceivingIsSwitched(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		d.Receive(&o.Socket, false)
		until(t, d, func() bool { return o.Socket.State&(watched|armed) == watched })
		turn(t, d)                    // the kernel knows all there is to know
		o.Socket.State |= wantReceive // as Receive(true) does; the kernel does not know it yet
		drivertest.Shut(t, peer, unix.SHUT_RDWR)
		drivertest.Shut(t, o.FD(), unix.SHUT_RDWR)
		until(t, d, func() bool { return o.Socket.State&hung != 0 })
		assert.Zero(t, o.HangUps, "HungUp while a receive is wanted")
		d.Receive(&o.Socket, false)
		until(t, d, func() bool { return o.HangUps > 0 })
		release(t, d, o)
	})
}

// A socket whose error queue has an entry, and nothing else, costs no turns, and the queue is emptied.
func TestErrorQueue(t *testing.T) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		for _, on := range []bool{true, false} {
			o, peer := drivertest.TCPPair(t, d)
			d.Receive(&o.Socket, on)
			turn(t, d)
			drivertest.StampSends(t, o.FD())
			_, err := d.Send(&o.Socket, [][]byte{[]byte("stamped")})
			require.ErrorIs(t, err, backend.ErrPending)
			until(t, d, func() bool { return len(o.Sends) > 0 })
			polls(t, d, 20*time.Millisecond)
			assert.False(t, backend.HasError(o.FD()))
			assert.LessOrEqual(t, polls(t, d, 100*time.Millisecond), 3, "turns in which nothing happened")
			assert.Zero(t, o.HangUps)
			assert.Zero(t, o.Socket.State&hung, "the connection is intact")
			_, err = peer.Write([]byte("answer"))
			require.NoError(t, err)
			d.Receive(&o.Socket, true)
			until(t, d, func() bool { return string(o.Got) == "answer" })
			release(t, d, o)
		}
	})
}
