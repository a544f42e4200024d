package handover

import (
	"context"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Conversations in which one process does what it should not, or ends. The other one is made of messages.

const patience = 20 * time.Second

func timed(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// sockets returns the two ends of a pair of sockets.
func sockets(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		ends[i], err = unixConn(os.NewFile(uintptr(fd), "pair"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = ends[i].Close() })
	}
	return ends[0], ends[1]
}

// actor is a process that is made of messages.
type actor struct {
	*testing.T
	ch *channel
}

func newActor(t *testing.T, c *net.UnixConn) *actor {
	t.Helper()
	ch, err := newChannel(c)
	require.NoError(t, err)
	return &actor{t, ch}
}

func (a *actor) greet(items uint32) {
	a.Helper()
	_, err := a.ch.greet(timed(a.T), hello{lowest: version, highest: version, items: items, bytes: items << 20})
	require.NoError(a, err)
}

func (a *actor) say(h header, fds ...int) {
	a.Helper()
	_, err := a.ch.send(timed(a.T), h, fds, nil)
	require.NoError(a, err)
}

// raw sends bytes, with descriptors.
func (a *actor) raw(b []byte, fds ...int) {
	a.Helper()
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	n, _, err := a.ch.conn.WriteMsgUnix(b, rights, nil)
	require.NoError(a, err)
	require.Equal(a, len(b), n)
}

func (a *actor) hears(k kind) received {
	a.Helper()
	m, err := a.ch.receive(timed(a.T), defaultMessage)
	require.NoError(a, err)
	require.Equal(a, k, m.kind, "kind of the message")
	return m
}

// giver begins a conversation with an actor in place of the new process.
func giver(t *testing.T) (*Giver, *actor) {
	t.Helper()
	ours, theirs := sockets(t)
	a := newActor(t, theirs)
	began := make(chan struct{})
	go func() { defer close(began); a.greet(window) }()
	g, err := NewGiver(timed(t), ours, nil)
	<-began
	require.NoError(t, err)
	t.Cleanup(func() { _ = g.Close() })
	return g, a
}

// taker begins a conversation with an actor in place of the old process.
func taker(t *testing.T, o *Options) (*Taker, *actor) {
	t.Helper()
	ours, theirs := sockets(t)
	a := newActor(t, theirs)
	began := make(chan struct{})
	go func() { defer close(began); a.greet(0) }()
	k, err := NewTaker(timed(t), ours, o)
	<-began
	require.NoError(t, err)
	t.Cleanup(func() { _ = k.Close() })
	return k, a
}

// given gives one end of a connection away, and returns the other, and the result.
func given(t *testing.T, ctx context.Context, g *Giver) (ours, peer *net.UnixConn, result <-chan error) { //nolint:revive // t is first
	t.Helper()
	ours, peer = sockets(t)
	done := make(chan error, 1)
	go func() { done <- g.Conn(ctx, "c", ours, []byte("state")) }()
	return ours, peer, done
}

func await(t *testing.T, result <-chan error) error {
	t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(patience):
		require.Fail(t, "it does not return")
		return nil
	}
}

// talks checks that a connection is alive.
func talks(t *testing.T, a, b io.ReadWriter) {
	t.Helper()
	for _, way := range [][2]io.ReadWriter{{a, b}, {b, a}} {
		_, err := way[0].Write([]byte("alive"))
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(way[1], got)
		require.NoError(t, err)
		require.Equal(t, "alive", string(got))
	}
}

// open is how many descriptors this process has.
func open(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(all)
}

// balanced checks that a test leaves as many descriptors as it has found.
func balanced(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	c, _ := net.Pipe() // and so that Go has opened its poller
	_ = c.Close()
	before := open(t)
	t.Run("", test)
	assert.Eventually(t, func() bool { return open(t) <= before }, patience, time.Millisecond, "descriptors are left")
}

// TestNewProcessEnds has the new process end at every step. What it has not taken goes on.
func TestNewProcessEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(a *actor)
		kept bool
	}{
		"before it has heard of it":   {func(*actor) {}, true},
		"before it has taken it":      {func(a *actor) { closeFiles(a.hears(kindConn).files) }, true},
		"in the middle of its answer": {func(a *actor) { closeFiles(a.hears(kindConn).files); a.raw([]byte{byte(kindTaken), 0, 0}) }, true},
		"when it has it": {func(a *actor) {
			defer closeFiles(a.hears(kindConn).files)
			a.say(header{kind: kindTaken, number: 1})
			a.hears(kindYours)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(t *testing.T) {
				g, a := giver(t)
				ours, peer, result := given(t, timed(t), g)
				c.end(a)
				a.ch.close()
				err := await(t, result)
				if !c.kept {
					require.NoError(t, err)
					_, err = peer.Read(make([]byte, 1))
					assert.Equal(t, io.EOF, err, "the connection ends with the process that had it")
					return
				}
				require.Error(t, err)
				talks(t, ours, peer)
				select {
				case <-g.failed:
				case <-time.After(patience):
					require.Fail(t, "the conversation goes on")
				}
				assert.Error(t, g.Err())
				assert.Error(t, g.State(timed(t), "more", nil))
			})
		})
	}
}

// TestNewProcessEndsAsItTakes ends between TAKEN and YOURS: the old process has either given the connection up, or goes on
// with it.
func TestNewProcessEndsAsItTakes(t *testing.T) {
	balanced(t, func(t *testing.T) {
		for range 50 {
			g, a := giver(t)
			ours, peer, result := given(t, timed(t), g)
			files := a.hears(kindConn).files
			a.say(header{kind: kindTaken, number: 1})
			closeFiles(files)
			a.ch.close()
			if err := await(t, result); err != nil {
				talks(t, ours, peer)
			} else {
				_, err := peer.Read(make([]byte, 1))
				assert.Equal(t, io.EOF, err)
			}
			_, _, _ = g.Close(), ours.Close(), peer.Close()
		}
	})
}

// TestOldProcessWaitsNoLonger has its context end while the new process thinks. The item stays, and the conversation goes on.
func TestOldProcessWaitsNoLonger(t *testing.T) {
	balanced(t, func(t *testing.T) {
		g, a := giver(t)
		ctx, cancel := context.WithCancel(context.Background())
		ours, peer, result := given(t, ctx, g)
		closeFiles(a.hears(kindConn).files)
		cancel()
		require.ErrorIs(t, await(t, result), context.Canceled)
		talks(t, ours, peer)
		assert.EqualValues(t, 1, a.hears(kindKept).number)
		a.say(header{kind: kindTaken, number: 1}) // which was on its way
		_, _, result = given(t, timed(t), g)
		closeFiles(a.hears(kindConn).files)
		a.say(header{kind: kindTaken, number: 2})
		assert.EqualValues(t, 2, a.hears(kindYours).number)
		require.NoError(t, await(t, result))
		done := make(chan error, 1)
		go func() { done <- g.Finish(timed(t)) }()
		a.hears(kindEnd)
		a.say(header{kind: kindEnd})
		require.NoError(t, await(t, done))
		assert.ErrorIs(t, g.Err(), net.ErrClosed)
	})
}

// TestContextEndsInAMessage has it end while the new process reads nothing. That ends the conversation, and nothing else.
func TestContextEndsInAMessage(t *testing.T) {
	balanced(t, func(t *testing.T) {
		g, _ := giver(t)
		ours, peer := sockets(t)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- g.Conn(ctx, "c", ours, make([]byte, 8<<20)) }()
		require.Eventually(t, func() bool { return len(g.turn) == 1 }, patience, time.Millisecond, "nobody sends")
		time.Sleep(10 * time.Millisecond) // the kernel is full, or will be: either is right
		cancel()
		require.ErrorIs(t, await(t, done), context.Canceled)
		talks(t, ours, peer)
		assert.ErrorIs(t, g.Err(), context.Canceled)
	})
}

// TestNoRoomForDescriptors reaches RLIMIT_NOFILE in the new process. The connection stays with the old one, and goes when
// there is room.
func TestNoRoomForDescriptors(t *testing.T) {
	ours, theirs := sockets(t)
	began := make(chan *Giver, 1)
	go func() {
		g, err := NewGiver(timed(t), ours, nil)
		assert.NoError(t, err)
		began <- g
	}()
	k, err := NewTaker(timed(t), theirs, nil)
	require.NoError(t, err)
	g := <-began
	defer g.Close()
	defer k.Close()
	mine, peer, result := given(t, timed(t), g)
	readable(t, theirs)
	items := make(chan Item, 1)
	next := func() {
		item, err := k.Next(timed(t))
		assert.NoError(t, err)
		items <- item
	}
	restore := noDescriptors(t)
	go next() // refuses the first, and returns the second
	err = await(t, result)
	restore()
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	assert.ErrorIs(t, err, unix.EMFILE)
	talks(t, mine, peer)
	go func() { assert.NoError(t, g.Conn(timed(t), "again", mine, nil)) }()
	item := (<-items).(*Conn)
	defer item.Close()
	assert.Equal(t, "again", item.Name)
	again, err := net.FileConn(item.File())
	require.NoError(t, err)
	defer again.Close()
	talks(t, again, peer)
}

// readable waits until something has come.
func readable(t *testing.T, c *net.UnixConn) {
	t.Helper()
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(patience/time.Millisecond))
		require.NoError(t, err)
		require.Equal(t, 1, n, "nothing comes")
	}))
}

// noDescriptors lowers RLIMIT_NOFILE so far that this process gets no descriptor until restore is called.
func noDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var was unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &was))
	free, err := unix.Dup(0)
	require.NoError(t, err)
	require.NoError(t, unix.Close(free))
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(free), Max: was.Max}))
	restore = func() { require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &was)) }
	t.Cleanup(restore)
	return restore
}

// TestContextOfTheBeginning ends while the other process is not there yet.
func TestContextOfTheBeginning(t *testing.T) {
	balanced(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		a, b := sockets(t)
		_, err := NewGiver(ctx, a, nil)
		assert.ErrorIs(t, err, context.Canceled)
		_, err = NewTaker(ctx, b, nil)
		assert.Error(t, err)
		_, err = NewTaker(timed(t), nil, nil)
		assert.Error(t, err)
		c, _ := sockets(t)
		_, err = NewGiver(timed(t), c, &Options{MaxMessage: 1})
		assert.ErrorContains(t, err, "MaxMessage")
		_, err = c.Write([]byte("x"))
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

// TestTooLarge gives what the new process does not allow.
func TestTooLarge(t *testing.T) {
	g, _ := giver(t)
	assert.ErrorIs(t, g.State(timed(t), "s", make([]byte, defaultMessage)), ErrTooLarge)
	assert.ErrorIs(t, g.State(timed(t), string(make([]byte, 256)), nil), ErrTooLarge)
	assert.NoError(t, g.Err())
}

// TestTakerCloses closes while an item is on its way, and while Next waits.
func TestTakerCloses(t *testing.T) {
	balanced(t, func(t *testing.T) {
		k, a := taker(t, nil)
		ours, peer := sockets(t)
		fd, err := duplicate(ours)
		require.NoError(t, err)
		defer unix.Close(fd)
		result := make(chan error, 1)
		go func() { _, err := k.Next(timed(t)); result <- err }()
		a.raw(encode(1, newConn("c", nil, nil, nil, 0), 1), fd)
		a.hears(kindTaken)
		require.NoError(t, k.Close())
		assert.ErrorIs(t, await(t, result), net.ErrClosed)
		talks(t, ours, peer)
	})
}
