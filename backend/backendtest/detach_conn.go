package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on the Conn that Detach returns.
var detachedRules = []Rule{
	{"S16_CloseTimeoutOfADetached", closeTimeoutOfDetached},
	{"S30_DetachedBeforeItIsLive", beforeItIsLive},
	{"S30_DetachedInCallbacks", detachedInCallbacks},
	{"S30_DetachedCloseRead", detachedCloseRead},
	{"S30_DetachedDeadlines", detachedDeadlines},
	{"S30_DetachedDeadlineLeavesNoHole", deadlineLeavesNoHole},
	{"S30_DetachedCloseUnblocks", detachedCloseUnblocks},
	{"S30_DetachedFINThenReset", detachedFINThenReset},
	{"S30_DetachedBothWays", detachedBothWays},
	{"S30_DetachedAndAdopted", detachedAndAdopted},
	{"S30_AdoptedWithUnread", adoptedWithUnread},
	{"S30_AdoptedWithQueue", adoptedWithQueue},
	{"S30_AdoptedInCallbacks", adoptedInCallbacks},
	{"S30_NotAdopted", notAdopted},
}

// detached is a Conn that a stream has become, with a queue of so many bytes.
func (e *Env) detached(queue int, o session.StreamOptions) (net.Conn, Peer) {
	e.Helper()
	h := NewHooks()
	h.Data = nothing
	s, p := e.Pair(h, o)
	if queue > 0 {
		e.small(s)
		_, err := s.Write(Pattern(queue))
		require.NoError(e, err)
	}
	c, err := s.Detach()
	require.NoError(e, err)
	h.closedWith(nil)
	e.Cleanup(func() { _ = c.Close() })
	return c, p
}

// timedOut checks that err is that of a deadline that has passed.
func (e *Env) timedOut(err error, what string) {
	e.Helper()
	var op *net.OpError
	if assert.ErrorAs(e, err, &op, what) {
		assert.ErrorIs(e, err, os.ErrDeadlineExceeded, what)
		assert.True(e, op.Timeout(), what)
		assert.NotNil(e, op.Addr, what)
		assert.NotNil(e, op.Source, what)
	}
}

// closeTimeoutOfDetached closes Conns whose peer takes nothing, or takes it slowly.
func closeTimeoutOfDetached(e *Env) {
	const limit = 100 * time.Millisecond
	c, p := e.detached(someFull, session.StreamOptions{CloseTimeout: limit})
	began := time.Now()
	require.NoError(e, c.Close())
	assert.Less(e, time.Since(began), limit, "Close waits")
	var reset error
	if e.Network == "unix" {
		time.Sleep(4 * limit) // there is nothing that the peer could see of it
	} else {
		// Whichever call first meets the reset takes the error with it.
		e.Eventually(func() bool { _, reset = p.Write([]byte("x")); return reset != nil }, "the reset")
	}
	got, err := readOn(p).all(e)
	assert.True(e, e.isReset(reset) || e.isReset(err), "the peer takes %d bytes for all there was: %v, %v", len(got), reset, err)
	assert.Less(e, len(got), someFull)

	c, p = e.detached(2<<20, session.StreamOptions{CloseTimeout: -1})
	require.NoError(e, c.Close())
	time.Sleep(limit)
	readOn(p).gotAll(e, Pattern(2<<20))
}

// beforeItIsLive uses the Conn while the loop is busy, and cannot hand the connection over.
func beforeItIsLive(e *Env) {
	h, in := NewHooks(), Pattern(1000)
	begun := e.heldUp(e.oneLoop(), h, session.StreamOptions{}, nothing, nothing)
	c, err := begun.s.Detach()
	require.NoError(e, err)
	e.writeAll(begun.p, in)
	soon := func() time.Time { return time.Now().Add(5 * time.Millisecond) }
	require.NoError(e, c.SetReadDeadline(soon()))
	_, err = c.Read(make([]byte, 1))
	e.timedOut(err, "Read")
	require.NoError(e, c.SetDeadline(time.Time{}))
	require.NoError(e, c.SetWriteDeadline(soon()))
	n, err := c.Write([]byte("never"))
	e.timedOut(err, "Write")
	assert.Zero(e, n)
	require.NoError(e, c.SetReadDeadline(time.Unix(1, 0)))
	_, err = c.Read(make([]byte, 1))
	e.timedOut(err, "Read behind a deadline that has passed")

	require.NoError(e, c.SetDeadline(time.Now().Add(patience)))
	got := make(chan []byte, 1)
	go func() { // these wait
		_, err := c.Write([]byte("hello"))
		assert.NoError(e, err)
		b := make([]byte, len(in))
		_, err = io.ReadFull(c, b)
		assert.NoError(e, err)
		got <- b
	}()
	time.Sleep(moment / 3)
	assert.NotNil(e, c.LocalAddr())
	assert.NotNil(e, c.RemoteAddr())
	begun.goOn()
	assert.True(e, bytes.Equal(in, arrives(e, got)))
	assert.Equal(e, "hello", string(e.ReadAll(begun.p, 5)))
	h.closedWith(nil)
	require.NoError(e, c.Close())

	h = NewHooks()
	begun = e.heldUp(e.oneLoop(), h, session.StreamOptions{}, nothing, nothing)
	_, err = begun.s.Write([]byte("queued"))
	require.NoError(e, err)
	c, err = begun.s.Detach()
	require.NoError(e, err)
	require.NoError(e, c.Close())
	_, err = c.Read(make([]byte, 1))
	assert.ErrorIs(e, err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	assert.ErrorIs(e, err, net.ErrClosed)
	begun.goOn()
	readOn(begun.p).gotAll(e, []byte("queued"))
	h.closedWith(nil)
}

// detachedInCallbacks uses the Conn where nothing may wait.
func detachedInCallbacks(e *Env) {
	h := NewHooks()
	conns := make(chan net.Conn, 1)
	h.Data = func(s *session.Stream) {
		_, _ = s.Write([]byte("stream "))
		c, err := s.Detach()
		if !assert.NoError(e, err) {
			return
		}
		_, err = c.Read(make([]byte, 1))
		assert.ErrorIs(e, err, errors.ErrUnsupported, "Read")
		p := []byte("conn ")
		n, err := c.Write(p)
		assert.NoError(e, err)
		assert.Equal(e, len(p), n)
		clear(p) // it is the caller's again
		_, err = c.Write([]byte("conn"))
		assert.NoError(e, err)
		assert.NoError(e, c.(interface{ CloseWrite() error }).CloseWrite())
		_, err = c.Write([]byte("late"))
		assert.Error(e, err)
		conns <- c
	}
	_, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte("x"))
	require.NoError(e, err)
	readOn(p).gotAll(e, []byte("stream conn conn"))
	c := arrives(e, conns)
	e.reads(c, []byte("x"), "behind FIN")
	require.NoError(e, c.Close())
}

// detachedCloseRead shuts the receiving side down while bytes are unread, before the Conn is live and after.
func detachedCloseRead(e *Env) {
	for _, early := range []bool{true, false} {
		h, in := NewHooks(), "unread"
		conns := make(chan net.Conn, 1)
		closeRead := func(c net.Conn) {
			if r, ok := c.(interface{ CloseRead() error }); ok {
				assert.NoError(e, r.CloseRead())
			}
		}
		h.Data = func(s *session.Stream) {
			if s.Buffered() < len(in) {
				return
			}
			c, err := s.Detach()
			assert.NoError(e, err)
			if early {
				closeRead(c)
			}
			conns <- c
		}
		_, p := e.Pair(h, session.StreamOptions{})
		_, err := p.Write([]byte(in))
		require.NoError(e, err)
		c := arrives(e, conns)
		h.closedWith(nil)
		if _, ok := c.(interface{ CloseRead() error }); !ok { // a Conn with TLS
			require.NoError(e, c.Close())
			return
		}
		if !early {
			closeRead(c)
		}
		require.NoError(e, c.SetReadDeadline(time.Now().Add(patience)))
		n, err := c.Read(make([]byte, len(in)))
		assert.Zero(e, n, "bytes behind CloseRead; before the Conn was live: %v", early)
		assert.Equal(e, io.EOF, err)
		_, err = c.Write([]byte("the other way"))
		require.NoError(e, err)
		assert.Equal(e, "the other way", string(e.ReadAll(p, 13)))
		require.NoError(e, c.Close())
	}
}

// detachedDeadlines does what package net's tests of deadlines do.
func detachedDeadlines(e *Env) {
	c, p := e.detached(0, session.StreamOptions{})
	for _, ago := range []time.Duration{time.Hour, 0, -5 * time.Millisecond} {
		require.NoError(e, c.SetDeadline(time.Now().Add(-ago)))
		_, err := c.Read(make([]byte, 1))
		e.timedOut(err, "Read")
	}
	require.NoError(e, c.SetDeadline(time.Unix(1, 0)))
	n, err := c.Write([]byte("never"))
	e.timedOut(err, "Write")
	assert.Zero(e, n)
	require.NoError(e, c.SetDeadline(time.Time{}))
	_, err = c.Write([]byte("ping"))
	require.NoError(e, err)
	assert.Equal(e, "ping", string(e.ReadAll(p, 4)))
	_, err = p.Write([]byte("pong"))
	require.NoError(e, err)
	e.reads(c, []byte("pong"), "behind deadlines")

	read := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); read <- err }()
	time.Sleep(moment / 3)
	require.NoError(e, c.SetReadDeadline(time.Now())) // ends a Read that is running
	e.timedOut(arrives(e, read), "Read")
}

// deadlineLeavesNoHole has a write deadline pass while bytes from before Detach wait, and moves it.
func deadlineLeavesNoHole(e *Env) {
	c, p := e.detached(someFull, session.StreamOptions{})
	require.NoError(e, c.SetWriteDeadline(time.Now().Add(5*time.Millisecond)))
	n, err := c.Write([]byte("END"))
	e.timedOut(err, "Write behind a full queue")
	assert.Zero(e, n)
	time.Sleep(moment / 3)
	r := readOn(p)
	time.Sleep(moment / 3)
	require.NoError(e, c.SetWriteDeadline(time.Time{}))
	_, err = c.Write([]byte("END"))
	require.NoError(e, err)
	require.NoError(e, c.Close())
	r.gotAll(e, append(Pattern(someFull), "END"...))

	c, p = e.detached(someFull, session.StreamOptions{}) // closed while the deadline has passed
	require.NoError(e, c.SetWriteDeadline(time.Unix(1, 0)))
	time.Sleep(moment / 3)
	require.NoError(e, c.Close())
	readOn(p).gotAll(e, Pattern(someFull))
}

// detachedCloseUnblocks closes Conns while methods wait.
func detachedCloseUnblocks(e *Env) {
	for _, queue := range []int{0, someFull} {
		c, p := e.detached(queue, session.StreamOptions{CloseTimeout: moment})
		failed := make(chan error, 2)
		go func() { _, err := c.Read(make([]byte, 1)); failed <- err }()
		go func() {
			var err error
			for err == nil {
				_, err = c.Write(Pattern(1 << 20))
			}
			failed <- err
		}()
		time.Sleep(moment)
		require.NoError(e, c.Close())
		for range 2 {
			assert.ErrorIs(e, arrives(e, failed), net.ErrClosed)
		}
		assert.ErrorIs(e, c.SetDeadline(time.Time{}), net.ErrClosed)
		_ = p.Close()
	}
}

// detachedFINThenReset has the connection fail before a FIN that is to follow. Nothing goes on for ever.
func detachedFINThenReset(e *Env) {
	c, p := e.detached(someFull, session.StreamOptions{})
	require.NoError(e, c.(interface{ CloseWrite() error }).CloseWrite())
	require.NoError(e, p.Reset())
	before := runtime.NumGoroutine()
	e.Eventually(func() bool { return runtime.NumGoroutine() < before || !sendsOn() }, "the end of what sends")
	_, err := c.Read(make([]byte, 1))
	assert.Error(e, err)
	require.NoError(e, c.Close())
}

// sendsOn reports whether a goroutine still sends what a stream had queued.
func sendsOn() bool { return bytes.Contains(stacks(), []byte("(*detached).send")) }

// detachedBothWays has several goroutines write, read and move deadlines at once.
func detachedBothWays(e *Env) {
	c, p := e.detached(100_000, session.StreamOptions{})
	in := Pattern(1 << 20)
	var all sync.WaitGroup
	all.Go(func() { e.writeAll(p, in) })
	all.Go(func() {
		for range 100 {
			assert.NoError(e, c.SetDeadline(time.Now().Add(patience)))
			time.Sleep(50 * time.Microsecond)
		}
	})
	const writers, each, size = 4, 50, 3000
	for w := range writers {
		all.Go(func() {
			for range each {
				_, err := c.Write(bytes.Repeat([]byte{byte(w)}, size))
				assert.NoError(e, err)
			}
		})
	}
	all.Go(func() { e.reads(c, in, "both ways") })
	out := e.ReadAll(p, 100_000+writers*each*size)
	e.within("goroutines that use a Conn", all.Wait)
	assert.True(e, bytes.Equal(Pattern(100_000), out[:100_000]), "what the stream had queued")
	for out = out[100_000:]; len(out) > 0; out = out[size:] {
		require.Equal(e, size, bytes.Count(out[:size], out[:1]), "the bytes of one Write")
	}
	require.NoError(e, c.Close())
	_, err := p.Read(make([]byte, 1))
	assert.Equal(e, io.EOF, err)
}
