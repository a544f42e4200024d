package backendtest

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on listeners whose sockets others have, too, and on connections that go to another process.
var sharedRules = []Rule{
	{"S25_UnlinkOnClose", unlinkOnClose},
	{"S29_CloseOfAShared", closeOfShared},
	{"S29_SharedInABurst", sharedInABurst},
	{"S29_FilesOfReusePort", filesOfReusePort},
	{"S30_LeavesAndIsAdopted", leavesAndIsAdopted},
	{"S30_DoesNotLeave", doesNotLeave},
}

// files are the sockets of a listener, which are closed at the end.
func (e *Env) files(l session.Listener) (all []*os.File) {
	e.Helper()
	all, err := l.Files()
	if errors.Is(err, errors.ErrUnsupported) {
		e.Skipf("a listener has no files here: %v", err)
	}
	require.NoError(e, err, "files")
	e.Cleanup(func() {
		for _, f := range all {
			_ = f.Close()
		}
	})
	return all
}

// takesOver is another listener of l's sockets.
func (e *Env) takesOver(t *session.Engine, l session.Listener, h *Hooks) session.Listener {
	e.Helper()
	h.env(e)
	o := &session.ListenOptions{}
	for _, f := range e.files(l) {
		o.FromAll = append(o.FromAll, f)
	}
	again, err := t.Listen(l.Addr().Network(), "", h, o)
	require.NoError(e, err, "take over")
	e.Cleanup(func() { _ = again.Close() })
	return again
}

// unlinkOnClose hands a Unix socket from one listener to the next. Its file stays until the last one ends, and nobody takes
// it for stale.
func unlinkOnClose(e *Env) {
	if !e.once() || runtime.GOOS == "windows" {
		return
	}
	path := filepath.Join(e.TempDir(), "s")
	first := e.listenOn("unix", path, echo())
	second := e.takesOver(e.Under(), first, echo())
	third := e.takesOver(e.Under(), second, echo())
	assert.False(e, third.SetUnlinkOnClose(true), "of one that has not made the file")
	require.NoError(e, first.Close())
	require.NoError(e, second.Close())
	_, err := e.Under().Listen("unix", path, echo(), nil)
	e.inUse(err)
	e.pingPong(e.dialPlain(third.Addr()))
	require.NoError(e, third.Close())
	_, err = os.Lstat(path)
	assert.ErrorIs(e, err, os.ErrNotExist, "the file that the last one has to remove")
	again := e.listenOn("unix", path, echo())
	assert.True(e, again.SetUnlinkOnClose(false), "of one that has made the file")
	require.NoError(e, again.Close())
	_, err = os.Lstat(path)
	assert.NoError(e, err, "the file that was to stay")
}

// closeOfShared closes a listener that others go on with. What it has accepted, and had no room for, becomes streams;
// nothing else is accepted there.
func closeOfShared(e *Env) {
	if e.Dialled {
		return
	}
	for _, paused := range []bool{false, true} {
		h, h2 := echo(), echo()
		h.env(e)
		l, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: 1})
		require.NoError(e, err)
		again := e.takesOver(e.Under(), l, h2)
		again.PauseAccept()
		var all []Peer
		for range 5 {
			all = append(all, e.Connect(l.Addr()))
		}
		h.Opened()
		if paused {
			l.PauseAccept()
		}
		time.Sleep(moment) // for what the limits let in
		waiting := l.Stats().Parked
		require.NoError(e, l.Close())
		again.ResumeAccept()
		for _, p := range all {
			e.pingPong(p)
		}
		assert.Equal(e, 1+waiting, h.Count("OnOpen"), "streams of the listener that was closed, with what it had accepted")
		assert.Zero(e, l.Stats().Parked)
		assert.ErrorIs(e, l.Err(), net.ErrClosed)
		_, err = l.Files()
		assert.ErrorIs(e, err, net.ErrClosed)
		e.pingPong(e.Connect(again.Addr()))
		require.NoError(e, again.Close())
	}
}

// sharedInABurst closes a listener at any moment of a burst of connections. Those that an accept was bringing are served
// like all others, by one listener or the other.
func sharedInABurst(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	const peers, rounds = 20, 5
	for range rounds {
		first := e.listenOn(e.Network, e.Address(), echo())
		second := e.takesOver(e.Under(), first, echo())
		var running sync.WaitGroup
		begun := make(chan struct{}, peers)
		failed := make(chan error, peers)
		for range peers {
			running.Go(func() {
				c, err := net.DialTimeout(first.Addr().Network(), first.Addr().String(), patience)
				begun <- struct{}{}
				if err == nil {
					err = exchangeOnce(c)
				}
				if err != nil {
					failed <- err
				}
			})
		}
		<-begun
		require.NoError(e, first.Close())
		running.Wait()
		close(failed)
		for err := range failed {
			assert.NoError(e, err, "a connection is lost")
		}
		require.NoError(e, second.Close())
	}
}

// exchangeOnce sends, expects the same back, and closes.
func exchangeOnce(c net.Conn) error {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("p")); err != nil {
		return err
	}
	_, err := c.Read(make([]byte, 1))
	return err
}

// filesOfReusePort hands on a listener that has a socket on each loop.
func filesOfReusePort(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops, o.Balance = 3, session.ReusePort })
	h, h2 := echo(), echo()
	h.env(e)
	first, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	require.NoError(e, err)
	_, err = first.File()
	require.ErrorIs(e, err, errors.ErrUnsupported, "one file of three sockets")
	second := e.takesOver(t, first, h2)
	assert.Len(e, e.files(second), 3)
	require.NoError(e, first.Close())
	for range 20 { // some for each socket
		e.pingPong(e.dialPlain(second.Addr()))
	}
	require.NoError(e, second.Close())
}

// carrier is a connection with bytes in front of it, as it arrives in another process.
type carrier struct {
	net.Conn
	held session.Carried
}

func (c carrier) SyscallConn() (syscall.RawConn, error) { return c.Conn.(syscall.Conn).SyscallConn() }
func (c carrier) Carried() session.Carried              { return c.held }

// leavesAndIsAdopted takes a connection out of a stream with all that it holds, as for another process, and makes a
// stream of it again.
func leavesAndIsAdopted(e *Env) {
	for _, fin := range []bool{false, true} {
		h := NewHooks()
		h.Data = nothing
		s, p := e.Pair(h, session.StreamOptions{})
		_, err := p.Write([]byte("unread "))
		require.NoError(e, err)
		e.Eventually(func() bool { return e.buffered(s) == 7 }, "the bytes that nobody reads")
		e.small(s)
		told := make(chan error, 1)
		require.NoError(e, s.WriteNotify(Pattern(someFull), func(err error) { told <- err }))
		if fin {
			require.NoError(e, s.CloseWrite())
		}
		last := 0
		c, err := session.DetachThen(s, func() { last++ })
		require.NoError(e, err)
		held, settle, err := session.Leave(context.Background(), c)
		if errors.Is(err, errors.ErrUnsupported) {
			_ = c.Close()
			e.Skipf("a connection cannot leave: %v", err)
		}
		require.NoError(e, err, "leave")
		assert.Equal(e, 1, last, "calls of the function of DetachThen")
		assert.Equal(e, "unread ", string(held.Unread))
		assert.NotEmpty(e, held.Unsent)
		assert.Equal(e, fin, held.Shut)
		theirs := e.duplicated(c)
		settle(true)
		assert.ErrorIs(e, arrives(e, told), net.ErrClosed, "what WriteNotify is told")
		h.closedWith(nil)
		again := NewHooks()
		again.env(e)
		_, err = e.Under().Adopt(carrier{theirs, held}, again)
		require.NoError(e, err, "adopt")
		require.Equal(e, Pattern(someFull), e.ReadAll(p, someFull), "what was queued")
		e.sendAndFinish(p, []byte("and then"))
		again.closedWith(nil)
		again.gotAll([]byte("unread and then"))
	}
}

// doesNotLeave has a connection that nobody takes: it goes on, as if nothing had been.
func doesNotLeave(e *Env) {
	c, p := e.detached(someFull, session.StreamOptions{})
	_, err := p.Write([]byte("unread"))
	require.NoError(e, err)
	held, settle, err := session.Leave(context.Background(), c)
	if errors.Is(err, errors.ErrUnsupported) {
		e.Skipf("a connection cannot leave: %v", err)
	}
	require.NoError(e, err, "leave")
	assert.NotEmpty(e, held.Unsent)
	settle(false)
	require.Equal(e, Pattern(someFull), e.ReadAll(p, someFull), "what was queued")
	e.reads(c, []byte("unread"), "what the peer has sent")
	require.NoError(e, c.Close())
	_, _, err = session.Leave(context.Background(), c)
	assert.ErrorIs(e, err, net.ErrClosed, "leave after Close")
	_, _, err = session.Leave(context.Background(), nil)
	assert.Error(e, err)
	ours, _ := net.Pipe()
	_, _, err = session.Leave(context.Background(), ours)
	assert.ErrorIs(e, err, errors.ErrUnsupported, "a pipe")
}

// duplicated is another connection of the socket of a Conn of Detach.
func (e *Env) duplicated(c net.Conn) net.Conn {
	e.Helper()
	f, err := c.(interface{ NetConn() net.Conn }).NetConn().(interface{ File() (*os.File, error) }).File()
	require.NoError(e, err, "file")
	defer f.Close()
	again, err := net.FileConn(f)
	require.NoError(e, err, "connection of a file")
	return again
}
