package drivertest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// The part of the contract that is about what an owner does inside an event, and what a Poll does before it sleeps.

// An owner that switches accepting off in Accepted gets one more connection at most, if the socket is Bounded.
func acceptingIsSwitchedOff(t *testing.T, d backend.Driver, _ *backend.Counters) {
	const n = 6
	l := Listen(t, n)
	for range n {
		Dial(t, l)
	}
	o := &Recorder{}
	o.Socket = backend.Socket{Descriptor: backend.NewDescriptor(l), Owner: o, Bounded: true}
	o.OnAccepted = func() { d.Accept(&o.Socket, false) }
	require.NoError(t, d.Attach(&o.Socket))
	for taken := 0; taken < n; taken = len(o.Conns) {
		d.Accept(&o.Socket, true)
		Until(t, d, func() bool { return len(o.Conns) > taken })
		Polls(t, d, 2*time.Millisecond)
		assert.LessOrEqual(t, len(o.Conns), taken+2, "connections until accepting was off")
	}
	for _, fd := range o.Conns {
		backend.CloseFD(fd)
	}
	Release(t, d, o)
}

// A connection that the driver has accepted when its listener is released is reported: others may have the listening
// socket, and would never see it. The others still wait in the backlog.
func acceptedWhileReleased(t *testing.T, d backend.Driver, _ *backend.Counters) {
	const n = 6
	l := Listen(t, n)
	o := Attach(t, d, l)
	o.OnAccepted = func() {
		if len(o.Conns) == 1 {
			d.Release(&o.Socket)
		}
	}
	for range n {
		Dial(t, l)
	}
	d.Accept(&o.Socket, true)
	Until(t, d, func() bool { return o.Gone })
	assert.NoError(t, o.AcceptErr)
	left := 0
	for fd, err := backend.Accept(l); err == nil; fd, err = backend.Accept(l) {
		left++
		backend.CloseFD(fd)
	}
	assert.Equal(t, n, len(o.Conns)+left, "connections reported, and %d left in the backlog", left)
	for _, fd := range o.Conns {
		backend.CloseFD(fd)
	}
	assert.Equal(t, backend.Outstanding{}, d.Outstanding())
}

// Accepting on a socket that others have, too, is switched off and on, fails, and ends, like on any other.
func sharedListener(t *testing.T, d backend.Driver, _ *backend.Counters) {
	l := Listen(t, 5)
	attach := func() *Recorder {
		own, err := backend.Duplicate(l)
		require.NoError(t, err)
		t.Cleanup(func() { backend.CloseFD(own) })
		o := Attach(t, d, own)
		o.Socket.Shared.Store(true)
		d.Accept(&o.Socket, true)
		Turn(t, d)
		return o
	}
	o := attach()
	d.Accept(&o.Socket, false)
	Polls(t, d, 5*time.Millisecond)
	Dial(t, l)
	Dial(t, l)
	Polls(t, d, 5*time.Millisecond)
	assert.Empty(t, o.Conns, "while accepting is off")
	o.OnAccepted = func() { d.Accept(&o.Socket, false) }
	d.Accept(&o.Socket, true)
	Until(t, d, func() bool { return len(o.Conns) == 1 })
	Polls(t, d, 5*time.Millisecond)
	assert.Len(t, o.Conns, 1, "accepting was switched off inside of Accepted")
	o.OnAccepted = func() { d.Release(&o.Socket) }
	d.Accept(&o.Socket, true)
	Until(t, d, func() bool { return o.Gone })
	assert.Len(t, o.Conns, 2)
	for _, fd := range o.Conns {
		backend.CloseFD(fd)
	}
	failing := attach()
	Shut(t, l, unix.SHUT_RDWR)
	Until(t, d, func() bool { return failing.AcceptErr != nil })
	assert.ErrorIs(t, failing.AcceptErr, unix.EINVAL)
	Polls(t, d, 5*time.Millisecond)
	assert.Len(t, failing.Conns, 1, "reports of the error")
	Release(t, d, failing)
}

// An owner that releases its socket in Sent hears no more of it, although the same event says that the peer has gone.
func releasedInSent(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	for n := 1; n > 0; {
		n, _ = backend.Send(o.FD(), make([]byte, 64<<10)) // until there is no room
	}
	_, err := d.Send(&o.Socket, [][]byte{[]byte("waits")})
	require.ErrorIs(t, err, backend.ErrPending)
	Turn(t, d)
	before := -1
	o.OnSent = func() {
		before = o.Ends
		d.Release(&o.Socket)
	}
	Shut(t, peer, unix.SHUT_WR)
	for n := 1; n > 0; {
		n, _ = backend.Recv(peer, make([]byte, 64<<10))
	}
	Until(t, d, func() bool { return o.Gone })
	assert.Len(t, o.Sends, 1)
	assert.Equal(t, before, o.Ends, "ends of a socket that is released")
	assert.Equal(t, backend.Outstanding{}, d.Outstanding())
}

// A Poll that calls Released does not sleep: its owner may have more to do.
func noSleepWithRelease(t *testing.T, d backend.Driver, _ *backend.Counters) {
	a, _ := Sockets(t)
	o := Attach(t, d, a)
	Polls(t, d, time.Millisecond)
	d.Release(&o.Socket)
	require.Less(t, Sleep(t, d), Patience, "with a socket that was released")
	assert.True(t, o.Gone)
}

// Bytes that have to wait because their owner has no budget left come in the next Poll, without a sleep.
func noSleepWithBytes(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	for range 3 {
		o.Got = nil
		o.Spent = true
		Send(t, peer, []byte("bytes"))
		for range 5 {
			Turn(t, d) // a driver may report them all the same
		}
		o.Spent = false
		for len(o.Got) == 0 {
			require.Less(t, Sleep(t, d), Patience, "with bytes that have come")
		}
		assert.Equal(t, "bytes", string(o.Got))
	}
	Release(t, d, o)
}
