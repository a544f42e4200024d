package drivertest

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// Opener makes a driver on the calling goroutine and starts it with c. It closes it when the test ends.
type Opener func(t *testing.T, c *backend.Counters) backend.Driver

// Run tests the contract of backend.Driver, in subtests that open a driver each.
func Run(t *testing.T, open Opener) {
	for _, c := range []struct {
		name string
		test func(*testing.T, backend.Driver, *backend.Counters)
	}{
		{"InterestTakenBack", interestTakenBack},
		{"NothingWhileOff", nothingWhileOff},
		{"HangUpOnce", hangUpOnce},
		{"EndBehindBytes", endBehindBytes},
		{"KeptBytes", keptBytes},
		{"Sends", sends},
		{"FilesCome", filesCome},
		{"FilesReleased", filesReleased},
		{"FilesGo", filesGo},
		{"Connects", connects},
		{"Accepts", accepts},
		{"AcceptingIsSwitchedOff", acceptingIsSwitchedOff},
		{"AcceptedWhileReleased", acceptedWhileReleased},
		{"SharedListener", sharedListener},
		{"ReleasedInSent", releasedInSent},
		{"Sleeps", sleeps},
		{"NoSleepWithARelease", noSleepWithRelease},
		{"NoSleepWithBytes", noSleepWithBytes},
		{"CloseReportsNothing", closeReportsNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			count := new(backend.Counters)
			c.test(t, open(t, count), count)
		})
	}
}

// An interest that is taken back before the next Poll costs nothing.
func interestTakenBack(t *testing.T, d backend.Driver, count *backend.Counters) {
	o, _ := Pair(t, d)
	Polls(t, d, time.Millisecond) // until nothing is left to be told to the kernel
	cost := func(change func()) (n [2]uint64) {
		before := *count
		change()
		Turn(t, d)
		for i, c := range []backend.Counter{backend.SystemCalls, backend.Submissions} {
			n[i] = count[c] - before[c]
		}
		return n
	}
	idle := cost(func() {})
	assert.Equal(t, idle, cost(func() {
		for range 10 {
			d.Receive(&o.Socket, false)
			d.Receive(&o.Socket, true)
		}
	}), "system calls and submissions")
	Release(t, d, o)
}

// While receiving is off nothing is received, and nothing is lost.
func nothingWhileOff(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	d.Receive(&o.Socket, false)
	Polls(t, d, 5*time.Millisecond) // the kernel has nothing in flight any longer
	Send(t, peer, []byte("waits"))
	Polls(t, d, 5*time.Millisecond)
	assert.Empty(t, o.Got)
	d.Receive(&o.Socket, true)
	Until(t, d, func() bool { return string(o.Got) == "waits" })
	Release(t, d, o)
}

// A lasting hang-up is reported once to a socket that does not receive, and ends the receive of one that does.
func hangUpOnce(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	d.Receive(&o.Socket, false)
	Polls(t, d, 5*time.Millisecond)
	Shut(t, peer, unix.SHUT_RDWR)
	Until(t, d, func() bool { return o.HangUps > 0 })
	assert.LessOrEqual(t, Polls(t, d, 20*time.Millisecond), 3, "turns in which nothing happened")
	assert.Equal(t, 1, o.HangUps)
	assert.Zero(t, o.Ends)
	d.Receive(&o.Socket, true)
	Until(t, d, func() bool { return o.Ends > 0 })
	assert.Equal(t, io.EOF, o.EndErr)
	Release(t, d, o)
}

// The end of a stream is reported, after all bytes, even if it comes together with them while the loop is busy.
func endBehindBytes(t *testing.T, d backend.Driver, _ *backend.Counters) {
	for n := 1; n < 1<<17; n *= 3 {
		o, peer := Pair(t, d)
		Send(t, peer, make([]byte, n))
		Shut(t, peer, unix.SHUT_RDWR)
		for began := time.Now(); o.Ends == 0; {
			_, err := d.Poll(Patience)
			require.NoError(t, err)
			require.Less(t, time.Since(began), Patience, "%d of %d bytes were received, and no end", len(o.Got), n)
		}
		assert.Len(t, o.Got, n)
		assert.Equal(t, io.EOF, o.EndErr)
		Release(t, d, o)
	}
}

// Memory that its owner has kept stays as it is until it is given back, and is counted.
func keptBytes(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	var kept []func()
	var memory [][]byte
	o.OnBytes = func(p []byte) {
		if give := d.Keep(); give != nil {
			kept, memory = append(kept, give), append(memory, p)
			return
		}
		memory = append(memory, bytes.Clone(p))
	}
	assert.Nil(t, d.Keep(), "outside of Received")
	var want []byte
	for round := range 8 {
		p := bytes.Repeat([]byte{byte(round)}, 12<<10)
		want = append(want, p...)
		Send(t, peer, p)
		Until(t, d, func() bool { return len(bytes.Join(memory, nil)) == len(want) })
		assert.Nil(t, d.Keep(), "behind Received")
	}
	assert.NotEmpty(t, kept)
	assert.Equal(t, len(kept), d.Outstanding().Buffers)
	assert.True(t, bytes.Equal(want, bytes.Join(memory, nil)), "memory that was kept has changed")
	for _, give := range kept {
		give()
	}
	assert.Zero(t, d.Outstanding().Buffers)
	Release(t, d, o)
}

// A send takes bytes from all slices in order, perhaps not all. Its count comes at once, or by Sent.
func sends(t *testing.T, d backend.Driver, _ *backend.Counters) {
	for name, bufs := range map[string][][]byte{
		"one":  {[]byte("one")},
		"more": {[]byte("one "), []byte("two "), []byte("three")},
	} {
		o, peer := Pair(t, d)
		want := bytes.Join(bufs, nil)
		n := send(t, d, o, bufs)
		for n < len(want) {
			n += send(t, d, o, [][]byte{want[n:]})
		}
		assert.Equal(t, len(want), n, name)
		got := make([]byte, 64)
		n, err := unix.Read(peer, got)
		require.NoError(t, err, name)
		assert.Equal(t, string(want), string(got[:n]), name)
		Release(t, d, o)
	}
}

// send sends once, and returns how many bytes the kernel has taken.
func send(t *testing.T, d backend.Driver, o *Recorder, bufs [][]byte) int {
	t.Helper()
	o.Sends = nil
	n, err := d.Send(&o.Socket, bufs)
	if err == backend.ErrPending {
		Until(t, d, func() bool { return len(o.Sends) == 1 })
		n, err = o.Sends[0], o.SendErr
	}
	require.NoError(t, err)
	return n
}

// The end of a connect is reported once: with nil, or with the connection's error.
func connects(t *testing.T, d backend.Driver, _ *backend.Counters) {
	l := Listen(t, 1)
	to, err := unix.Getsockname(l)
	require.NoError(t, err)
	connect := func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, err)
		t.Cleanup(func() { backend.CloseFD(fd) })
		o := Attach(t, d, fd)
		if err := unix.Connect(fd, to); err != unix.EINPROGRESS {
			require.NoError(t, err)
		}
		d.Connect(&o.Socket)
		Until(t, d, func() bool { return len(o.Connects) > 0 })
		Polls(t, d, time.Millisecond)
		require.Len(t, o.Connects, 1)
		Release(t, d, o)
		return o.Connects[0]
	}
	assert.NoError(t, connect())
	require.NoError(t, unix.Shutdown(l, unix.SHUT_RD)) // the listener refuses from now on
	assert.Equal(t, error(unix.ECONNREFUSED), connect())
}

// Accepted descriptors do not block and are close-on-exec. While accepting is off there are none.
func accepts(t *testing.T, d backend.Driver, _ *backend.Counters) {
	const n = 5
	l := Listen(t, 2*n)
	o := Attach(t, d, l)
	d.Accept(&o.Socket, true)
	Turn(t, d)
	for range n {
		Dial(t, l)
	}
	Until(t, d, func() bool { return len(o.Conns) == n })
	d.Accept(&o.Socket, false)
	Polls(t, d, 5*time.Millisecond)
	Dial(t, l)
	Polls(t, d, 5*time.Millisecond)
	assert.Len(t, o.Conns, n, "while accepting is off")
	d.Accept(&o.Socket, true)
	Until(t, d, func() bool { return len(o.Conns) == n+1 })
	assert.NoError(t, o.AcceptErr)
	for _, fd := range o.Conns {
		status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		require.NoError(t, err)
		assert.NotZero(t, status&unix.O_NONBLOCK, "non-blocking")
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		require.NoError(t, err)
		assert.NotZero(t, flags&unix.FD_CLOEXEC, "close-on-exec")
		backend.CloseFD(fd)
	}
	Release(t, d, o)
}

// Poll sleeps for as long as it may. An event ends it, and so does Wake, even one that came before.
func sleeps(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	Polls(t, d, 5*time.Millisecond)
	const wait = 3 * time.Millisecond
	for began, slept := time.Now(), false; !slept; {
		start := time.Now()
		n, err := d.Poll(wait)
		require.NoError(t, err)
		require.Zero(t, n)
		slept = time.Since(start) >= wait // a signal may end a sleep early
		require.Less(t, time.Since(began), Patience, "it never sleeps for all of its time")
	}
	d.Wake()
	require.Less(t, Sleep(t, d), Patience, "with a Wake from before")
	Polls(t, d, time.Millisecond)
	go func() { time.Sleep(time.Millisecond); d.Wake() }()
	require.Less(t, Sleep(t, d), Patience, "with a Wake from elsewhere")
	go func() { _, _ = backend.Send(peer, []byte("event")) }()
	for len(o.Got) == 0 {
		require.Less(t, Sleep(t, d), Patience, "with an event")
	}
	assert.Equal(t, "event", string(o.Got))
	Release(t, d, o)
}

// Close forgets sockets that are still attached, without an event. Wake does nothing afterwards.
func closeReportsNothing(t *testing.T, d backend.Driver, _ *backend.Counters) {
	o, peer := Pair(t, d)
	l := Attach(t, d, Listen(t, 1))
	d.Accept(&l.Socket, true)
	Turn(t, d)
	Send(t, peer, []byte("for nobody"))
	Shut(t, peer, unix.SHUT_RDWR)
	Dial(t, l.FD())
	d.Release(&o.Socket)
	require.NoError(t, d.Close())
	for _, r := range []*Recorder{o, l} {
		assert.Empty(t, r.Got)
		assert.Zero(t, r.Ends)
		assert.Zero(t, r.HangUps)
		assert.Empty(t, r.Conns)
		assert.False(t, r.Gone)
	}
	d.Wake()
}
