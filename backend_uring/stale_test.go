//go:build linux

package uring

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend/drivertest"
)

// Completions for a socket that has left the table find no socket, and give their buffers back.
func TestStaleCompletion(t *testing.T) {
	forEachRung(t, Config{Buffers: 4, BufferSize: 64}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		free := d.buffers.free
		drivertest.Send(t, peer, []byte("for nobody"))
		fill(t, d)
		d.Remove(&o.Socket)
		next, nextPeer := attach(t, d) // polls, too
		require.Equal(t, o.Socket.ID.Slot(), next.Socket.ID.Slot())
		assert.Empty(t, o.Got, "received by the socket that has left")
		assert.Empty(t, next.Got, "received by the next in its slot")
		assert.Equal(t, free, d.buffers.free)
		drivertest.Send(t, nextPeer, []byte("for the next"))
		until(t, d, func() bool { return string(next.Got) == "for the next" })
		drivertest.Shut(t, o.FD(), unix.SHUT_RDWR) // ends the receive of the socket that has left
		left := 0
		if o.Socket.State&watched != 0 {
			left = 1 // only the driver can end that one
		}
		until(t, d, func() bool {
			return next.Socket.State&armed != 0 && d.requests-d.waker.requests == int(next.Socket.InFlight)+left
		})
		assert.Zero(t, next.Ends)
		d.Release(&next.Socket)
		until(t, d, func() bool { return next.Gone && d.Outstanding().Requests == left })
	})
}

// A connection that is accepted for a listening socket that has left the table is closed. One whose socket is on its way is
// reported, because others may have the socket.
func TestStaleAccept(t *testing.T) {
	for name, c := range map[string]struct {
		leave    func(*Driver, *drivertest.Recorder)
		reported bool
	}{
		"left":     {func(d *Driver, o *drivertest.Recorder) { d.Remove(&o.Socket) }, false},
		"released": {func(d *Driver, o *drivertest.Recorder) { d.Release(&o.Socket) }, true},
	} {
		t.Run(name, func(t *testing.T) { staleAccept(t, c.leave, c.reported) })
	}
}

func staleAccept(t *testing.T, leave func(*Driver, *drivertest.Recorder), reported bool) {
	forEachRung(t, Config{}, func(t *testing.T, d *Driver) {
		l := drivertest.Listen(t, 5)
		o := drivertest.Attach(t, d, l)
		d.Accept(&o.Socket, true)
		turn(t, d)
		drivertest.Dial(t, l)
		until(t, d, func() bool { return len(o.Conns) == 1 })
		defer func() {
			for _, fd := range o.Conns {
				_ = unix.Close(fd)
			}
		}()
		c := drivertest.Dial(t, l)
		fill(t, d)
		leave(d, o)
		turn(t, d)
		if reported {
			assert.Len(t, o.Conns, 2, "the connection was not reported")
			return
		}
		assert.Len(t, o.Conns, 1, "a socket that has left got a connection")
		require.NoError(t, unix.SetsockoptTimeval(c, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
		n, err := unix.Read(c, make([]byte, 1)) // which waits
		require.NoError(t, err, "the connection was not closed")
		assert.Zero(t, n)
	})
}
