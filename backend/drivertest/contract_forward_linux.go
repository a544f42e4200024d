package drivertest

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
)

// forwarder takes a part of each piece to a socket.
type forwarder struct {
	to, from int // two ends of a stream
	wants    func() bool
	expects  func() bool // nil: wants
	take     int         // at most, of each piece
	asked    int
	all      int                              // bytes taken
	then     func(p *backend.Pipe, n int) int // in place of taking; nil: take
	got      []byte                           // what has come out at from
}

func (f *forwarder) Expects() bool {
	f.asked++
	if f.expects == nil {
		return f.wants()
	}
	return f.expects()
}

func (f *forwarder) Wants() (backend.Descriptor, bool) {
	f.asked++
	return backend.NewDescriptor(f.to), f.wants()
}

func (f *forwarder) Forward(p *backend.Pipe, n int) int {
	if f.then != nil {
		return f.then(p, n)
	}
	moved, err := p.Drain(backend.NewDescriptor(f.to), min(n, f.take))
	if err != nil {
		panic(err)
	}
	f.all += moved
	return moved
}

// drain reads what has been forwarded.
func (f *forwarder) drain() {
	b := make([]byte, 64<<10)
	for n, err := unix.Read(f.from, b); n > 0 && err == nil; n, err = unix.Read(f.from, b) {
		f.got = append(f.got, b[:n]...)
	}
}

func always() bool { return true }
func never() bool  { return false }

// forwards attaches a TCP connection with a Forwarder.
func forwards(t *testing.T, d backend.Driver, f *forwarder) (*Recorder, *net.TCPConn) {
	t.Helper()
	o, peer := TCPPair(t, d)
	f.to, f.from = Sockets(t)
	require.NoError(t, unix.SetNonblock(f.to, true))
	require.NoError(t, unix.SetNonblock(f.from, true))
	o.Forward, o.Socket.Forwards = f, true
	d.Receive(&o.Socket, true)
	return o, peer
}

// RunForward checks what a driver does with the Forwarder of a socket.
func RunForward(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, backend.Driver){
		"All":      func(t *testing.T, d backend.Driver) { forwardsPieces(t, d, forwarder{wants: always, take: 1 << 20}) },
		"APart":    func(t *testing.T, d backend.Driver) { forwardsPieces(t, d, forwarder{wants: always, take: 1000}) },
		"Nothing":  func(t *testing.T, d backend.Driver) { forwardsPieces(t, d, forwarder{wants: always}) },
		"Unwanted": func(t *testing.T, d backend.Driver) { forwardsPieces(t, d, forwarder{wants: never}) },
		"Expected": func(t *testing.T, d backend.Driver) { forwardsPieces(t, d, forwarder{wants: never, expects: always}) },
		"Unexpected": func(t *testing.T, d backend.Driver) {
			forwardsPieces(t, d, forwarder{wants: always, expects: never, take: 1 << 20})
		},
		"NowAndThen": forwardsNowAndThen, "NoRoom": forwardsWhatFindsRoom, "Reset": forwardsReset,
		"SwitchedOff": forwardsNothingWhileOff, "Released": releasedByForwarder, "ReleasedInReceived": releasedInRest,
		"Panic": panicInRest, "Urgent": forwardsBesideUrgent, "UrgentAtTheEnd": forwardsBehindUrgent,
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, new(backend.Counters))
			require.Implements(t, (*backend.ForwardingDriver)(nil), d)
			test(t, d)
		})
	}
}

// RunForwardShares checks that sockets that forward in the same turn share what one alone may forward. share is that of the
// driver, which comes next.
func RunForwardShares(t *testing.T, d backend.Driver, share func() int) {
	const n = 4
	all, peers := make([]*Recorder, n), make([]*net.TCPConn, n)
	moved := make([]*forwarder, n)
	for i := range n {
		moved[i] = &forwarder{wants: always, take: 1 << 20}
		all[i], peers[i] = forwards(t, d, moved[i])
	}
	shared := func(crowd int) func() bool {
		return func() bool {
			if share() == min(2*backend.PipeSize/crowd, backend.PipeSize) {
				return true
			}
			for _, p := range peers[:crowd] {
				_, err := p.Write([]byte("forward this"))
				require.NoError(t, err)
			}
			return false
		}
	}
	require.Equal(t, backend.PipeSize, share(), "at first")
	for _, crowd := range []int{n, 1, 3, 2} {
		Until(t, d, shared(crowd))
	}
	Until(t, d, func() bool { return share() == backend.PipeSize }) // when nothing moves any longer
	Release(t, d, all...)
}

// The owner gets what the Forwarder leaves, and the end.
func forwardsPieces(t *testing.T, d backend.Driver, f forwarder) {
	o, peer := forwards(t, d, &f)
	var want []byte
	for i := range 50 {
		piece := bytes.Repeat([]byte{byte(i)}, 4000)
		want = append(want, piece...)
		_, err := peer.Write(piece)
		require.NoError(t, err)
		Until(t, d, func() bool { f.drain(); return f.all+len(o.Got) == len(want) })
	}
	require.Len(t, f.got, f.all)
	if f.take == 1000 {
		require.Positive(t, len(o.Got))
		require.Positive(t, len(f.got))
	} else {
		require.True(t, bytes.Equal(want, append(f.got, o.Got...)), "other bytes")
	}
	require.NoError(t, peer.CloseWrite())
	Until(t, d, func() bool { return o.Ends > 0 })
	assert.Equal(t, io.EOF, o.EndErr)
	assert.Positive(t, f.asked)
	Release(t, d, o)
}

// A Forwarder that wants bytes only now and then gets and leaves them in order.
func forwardsNowAndThen(t *testing.T, d backend.Driver) {
	on := false
	f := &forwarder{take: 1 << 20, wants: func() bool { return on }}
	o, peer := forwards(t, d, f)
	for i := range 60 {
		before, taken := len(o.Got), f.all
		piece := bytes.Repeat([]byte{byte(i)}, 1+i*300)
		_, err := peer.Write(piece)
		require.NoError(t, err)
		Until(t, d, func() bool { f.drain(); return f.all+len(o.Got) == before+taken+len(piece) })
		require.Equal(t, piece, append(bytes.Clone(f.got[taken:]), o.Got[before:]...), "each byte once")
		on = i%3 != 1
	}
	assert.Positive(t, f.all)
	assert.NotEmpty(t, o.Got)
	Release(t, d, o)
}

// Where the other socket has no room, no more than MaxOvershoot are left to the owner at a time.
func forwardsWhatFindsRoom(t *testing.T, d backend.Driver) {
	left := 0
	f := &forwarder{wants: always}
	f.then = func(p *backend.Pipe, n int) int {
		moved, err := p.Drain(backend.NewDescriptor(f.to), n)
		require.NoError(t, err)
		left, f.all = max(left, n-moved), f.all+moved
		return moved
	}
	o, peer := forwards(t, d, f)
	const all = 4 << 20
	go func() { _, _ = peer.Write(make([]byte, all)) }()
	Until(t, d, func() bool { return f.all+len(o.Got) == all })
	assert.Positive(t, left)
	assert.LessOrEqual(t, left, backend.MaxOvershoot)
	Release(t, d, o)
}

func forwardsReset(t *testing.T, d backend.Driver) {
	o, peer := forwards(t, d, &forwarder{wants: always})
	Polls(t, d, 5*time.Millisecond)
	require.NoError(t, peer.SetLinger(0))
	require.NoError(t, peer.Close())
	Until(t, d, func() bool { return o.Ends > 0 })
	assert.ErrorIs(t, o.EndErr, unix.ECONNRESET)
	Release(t, d, o)
}

// While receiving is off nothing is forwarded, and nothing is lost.
func forwardsNothingWhileOff(t *testing.T, d backend.Driver) {
	f := &forwarder{wants: always, take: 1 << 20}
	o, peer := forwards(t, d, f)
	Polls(t, d, 5*time.Millisecond)
	for i := range 20 {
		d.Receive(&o.Socket, false)
		Polls(t, d, 2*time.Millisecond)
		before := f.all + len(o.Got)
		_, err := peer.Write(make([]byte, 1000+i))
		require.NoError(t, err)
		Polls(t, d, 2*time.Millisecond)
		require.Equal(t, before, f.all+len(o.Got), "bytes while receiving is off")
		d.Receive(&o.Socket, true)
		Until(t, d, func() bool { return f.all+len(o.Got) == before+1000+i })
		Polls(t, d, 2*time.Millisecond)
		forwarded := f.all
		_, err = peer.Write([]byte("waits"))
		require.NoError(t, err)
		d.Receive(&o.Socket, false) // behind bytes that have come, and may have been handed over
		Polls(t, d, 2*time.Millisecond)
		require.Equal(t, forwarded, f.all, "bytes forwarded while receiving is off")
		require.LessOrEqual(t, f.all+len(o.Got), before+1005+i, "bytes while receiving is off")
		d.Receive(&o.Socket, true)
		Until(t, d, func() bool { return f.all+len(o.Got) == before+1005+i })
	}
	Release(t, d, o)
}

// Urgent data of the peer stops nothing: splice(2) does not get past its mark, tcp_read_sock in net/ipv4/tcp.c, and a receive
// does. The urgent byte itself is left out, as it is from every receive without MSG_OOB, tcp(7).
func forwardsBesideUrgent(t *testing.T, d backend.Driver) {
	f := &forwarder{wants: always, take: 1 << 20}
	o, peer := forwards(t, d, f)
	for range 3 {
		before := f.all + len(o.Got)
		sendUrgent(t, peer)
		Until(t, d, func() bool { f.drain(); return f.all+len(o.Got) >= before+300 })
		require.Equal(t, before+300, f.all+len(o.Got))
	}
	require.NotContains(t, append(f.got, o.Got...), byte(1))
	require.NoError(t, peer.CloseWrite())
	Until(t, d, func() bool { return o.Ends > 0 })
	assert.Equal(t, io.EOF, o.EndErr)
	Release(t, d, o)
}

// What comes behind urgent data is no less there when the peer has finished: splice(2) takes its mark for the end then.
func forwardsBehindUrgent(t *testing.T, d backend.Driver) {
	f := &forwarder{wants: always, take: 1 << 20}
	o, peer := forwards(t, d, f)
	sendUrgent(t, peer)
	require.NoError(t, peer.CloseWrite())
	Until(t, d, func() bool { return o.Ends > 0 })
	assert.Equal(t, io.EOF, o.EndErr)
	assert.Equal(t, 300, f.all+len(o.Got))
	Release(t, d, o)
}

// sendUrgent sends 100 bytes, an urgent one, and 200.
func sendUrgent(t *testing.T, peer *net.TCPConn) {
	t.Helper()
	raw, err := peer.SyscallConn()
	require.NoError(t, err)
	_, err = peer.Write(make([]byte, 100))
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), []byte{1}, unix.MSG_OOB|unix.MSG_DONTWAIT, nil) }))
	require.NoError(t, err)
	_, err = peer.Write(make([]byte, 200))
	require.NoError(t, err)
}

// A Forwarder may release its socket.
func releasedByForwarder(t *testing.T, d backend.Driver) {
	var o *Recorder
	f := &forwarder{wants: always}
	f.then = func(*backend.Pipe, int) int { d.Release(&o.Socket); return 0 }
	o, peer := forwards(t, d, f)
	_, err := peer.Write([]byte("bytes"))
	require.NoError(t, err)
	Until(t, d, func() bool { return o.Gone })
	assert.Zero(t, o.Ends)
}

// So may an owner, while it gets what a Forwarder has left.
func releasedInRest(t *testing.T, d backend.Driver) {
	o, peer := forwards(t, d, &forwarder{wants: always})
	released := false
	o.OnBytes = func([]byte) {
		if !released {
			released = true
			d.Release(&o.Socket)
		}
	}
	_, err := peer.Write(make([]byte, 200_000))
	require.NoError(t, err)
	Until(t, d, func() bool { return o.Gone })
	assert.Zero(t, o.Ends)
}

// What a Forwarder has left does not reach another socket, if a panic comes between.
func panicInRest(t *testing.T, d backend.Driver) {
	f := &forwarder{wants: always}
	o, peer := forwards(t, d, f)
	o.OnBytes = func([]byte) { panic("on purpose") }
	_, err := peer.Write(bytes.Repeat([]byte("a"), 200_000))
	require.NoError(t, err)
	assert.Panics(t, func() {
		for range 100 {
			_, _ = d.Poll(10 * time.Millisecond)
		}
	})
	o.OnBytes = nil
	other, otherPeer := forwards(t, d, &forwarder{wants: always})
	_, err = otherPeer.Write([]byte("bbb"))
	require.NoError(t, err)
	Until(t, d, func() bool { return len(other.Got) >= 3 })
	assert.Equal(t, "bbb", string(other.Got))
	Release(t, d, o, other)
}
