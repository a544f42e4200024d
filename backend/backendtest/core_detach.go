package backendtest

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// Rules on Detach where it meets something else.
var coreDetachRules = []Rule{
	{"S04_TakeThenDetach", takeThenDetach},
	{"S12_NotifyThenDetach", notifyThenDetach},
	{"S30_DetachBeforeOpen", detachBeforeOpen},
	{"S30_DetachThenClose", detachThenClose},
	{"S30_DetachKeepsFIN", detachKeepsFIN},
	{"S30_DetachDeadlines", detachDeadlines},
	{"S30_DetachKeepsOptions", detachKeepsOptions},
	{"S30_DetachOfEachOther", detachOfEachOther},
	{"S30_DetachThenShutdown", detachThenShutdown},
	{"S30_DetachIsTheEnd", detachIsTheEnd},
}

// takeThenDetach takes bytes and detaches in one callback. The bytes stay, whatever other streams receive.
func takeThenDetach(e *Env) {
	t := e.Open(func(o *tandem.Options) { o.Loops = 1 })
	type result struct {
		b *tandem.Buffer
		c net.Conn
	}
	results := make(chan result, 1)
	h := NewHooks()
	h.Open = func(*tandem.Stream) { time.Sleep(moment) } // so that much has come
	h.Data = func(s *tandem.Stream) {
		if s.Buffered() < 5000 {
			return
		}
		b, err := s.Take(4096)
		require.NoError(e, err)
		c, err := s.Detach()
		require.NoError(e, err)
		results <- result{b, c}
	}
	s, p := e.PairOn(t, h, tandem.StreamOptions{})
	e.writeAll(p, bytes.Repeat([]byte{'A'}, 20_000))
	r := arrives(e, results)
	defer r.c.Close()
	other := NewHooks()
	_, q := e.PairOn(t, other, tandem.StreamOptions{})
	e.writeAll(q, bytes.Repeat([]byte{'B'}, 3<<20))
	e.Eventually(func() bool { return other.Len() == 3<<20 }, "the other stream's bytes")
	require.Equal(e, len(r.b.Bytes()), bytes.Count(r.b.Bytes(), []byte{'A'}), "taken bytes have changed")
	r.b.Release()
	rest := make([]byte, 20_000-4096)
	_, err := io.ReadFull(r.c, rest)
	require.NoError(e, err)
	require.Equal(e, len(rest), bytes.Count(rest, []byte{'A'}))
	require.Zero(e, s.Queued())
}

// notifyThenDetach has bytes queued that somebody wants to be told of, in a turn with Detach, and more than fits.
func notifyThenDetach(e *Env) {
	for _, size := range []int{100, 4 << 20} {
		told := make(chan error, 2)
		conns := make(chan net.Conn, 1)
		h := NewHooks()
		var closed bool
		h.Close = func(*tandem.Stream, error) { closed = true }
		s, p := e.Pair(h, tandem.StreamOptions{})
		e.small(s)
		e.onLoop(s, func() {
			for range 2 {
				require.NoError(e, s.WriteNotify(Pattern(size), func(err error) {
					assert.False(e, closed, "it was told after OnClose")
					told <- err
				}))
			}
			c, err := s.Detach()
			require.NoError(e, err)
			conns <- c
		})
		c := arrives(e, conns)
		got := e.ReadAll(p, 2*size)
		require.Equal(e, Pattern(size), got[size:])
		require.NoError(e, arrives(e, told))
		require.NoError(e, arrives(e, told))
		h.closedWith(nil)
		require.NoError(e, c.Close())
	}
}

// detachBeforeOpen detaches what is not connected.
func detachBeforeOpen(e *Env) {
	server := e.listenOn(e.Network, e.Address(), echo())
	h := NewHooks()
	h.env(e)
	held := make(chan struct{})
	t := e.Open(func(o *tandem.Options) { o.Loops = 1 })
	busy, _ := e.PairOn(t, NewHooks(), tandem.StreamOptions{})
	require.NoError(e, busy.Post(func() { await(held) }))
	s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
	require.NoError(e, err)
	_, err = s.Detach()
	require.ErrorIs(e, err, syscall.ENOTCONN)
	close(held)
	require.Same(e, s, h.Opened(), "the stream opens all the same")
	require.NoError(e, s.Close())
	h.Closed()
}

// detachThenClose closes the Conn at once. What was queued reaches the peer: little, and much.
func detachThenClose(e *Env) {
	for _, size := range []int{10, 8 << 20} {
		h := NewHooks()
		s, p := e.Pair(h, tandem.StreamOptions{})
		e.small(s)
		want := Pattern(size)
		e.onLoop(s, func() {
			_, err := s.Write(want)
			require.NoError(e, err)
			c, err := s.Detach()
			require.NoError(e, err)
			n, err := c.Write([]byte("early")) // before the connection is live, on the loop, which cannot wait
			require.NoError(e, err)
			require.Equal(e, 5, n)
			require.NoError(e, c.Close())
			require.Error(e, c.Close(), "a second Close")
		})
		readOn(p).gotAll(e, append(bytes.Clone(want), "early"...))
		h.closedWith(nil)
	}
}

// detachKeepsFIN detaches with a FIN to be sent behind much.
func detachKeepsFIN(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, tandem.StreamOptions{})
	e.small(s)
	want := Pattern(4 << 20)
	_, err := s.Write(want)
	require.NoError(e, err)
	require.NoError(e, s.CloseWrite())
	c, err := s.Detach()
	require.NoError(e, err)
	defer c.Close()
	readOn(p).gotAll(e, want)
	_, err = c.Write([]byte("x"))
	require.Error(e, err, "a write behind the FIN")
	_, err = p.Write([]byte("the other way"))
	require.NoError(e, err)
	got := make([]byte, 13)
	_, err = io.ReadFull(c, got)
	require.NoError(e, err)
	require.Equal(e, "the other way", string(got))
}

// detachDeadlines lets deadlines of the Conn pass and moves them. No byte is missing inside the stream.
func detachDeadlines(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, tandem.StreamOptions{})
	e.small(s)
	want := Pattern(6 << 20)
	_, err := s.Write(want)
	require.NoError(e, err)
	c, err := s.Detach()
	require.NoError(e, err)
	defer c.Close()
	require.NoError(e, c.SetDeadline(time.Now().Add(moment)))
	_, err = c.Write([]byte("END"))
	require.ErrorIs(e, err, os.ErrDeadlineExceeded)
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(e, err, os.ErrDeadlineExceeded)
	time.Sleep(2 * moment)
	require.NoError(e, c.SetDeadline(time.Time{}))
	reading := readOn(p)
	_, err = c.Write([]byte("END"))
	require.NoError(e, err)
	require.NoError(e, c.Close())
	reading.gotAll(e, append(bytes.Clone(want), "END"...))
}

// detachKeepsOptions compares socket options before and after.
func detachKeepsOptions(e *Env) {
	if e.Network == "unix" {
		return
	}
	h := NewHooks()
	s, _ := e.Pair(h, tandem.StreamOptions{})
	options := []tandem.SocketOption{tandem.NoDelay(false), tandem.KeepAlive(100*time.Second, 50*time.Second, 3), tandem.Priority(3)}
	for _, o := range options {
		require.NoError(e, s.SetSocketOption(o))
	}
	c, err := s.Detach()
	require.NoError(e, err)
	defer c.Close()
	require.ErrorIs(e, s.SetSocketOption(options[0]), net.ErrClosed)
	h.closedWith(nil)
	again := NewHooks()
	again.env(e)
	t, err := e.Under().Adopt(c.(syscall.Conn), again) // to read them
	require.NoError(e, err)
	again.Opened()
	for _, want := range options {
		got, err := t.SocketOption(want)
		require.NoError(e, err)
		assert.Equal(e, want, got)
	}
}

// detachOfEachOther has callbacks on two loops detach each other's stream at the same time.
func detachOfEachOther(e *Env) {
	t := e.Open(func(o *tandem.Options) { o.Loops = 2 })
	server := e.listenOn(e.Network, e.Address(), echo())
	h := NewHooks()
	h.env(e)
	var all [2]*tandem.Stream
	for all[0] == nil || all[1] == nil {
		s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
		require.NoError(e, err)
		h.Opened()
		if all[s.Loop()] != nil {
			require.NoError(e, s.Abort())
			h.Closed()
		}
		all[s.Loop()] = s
	}
	both := make(chan struct{}, 2)
	conns := make(chan net.Conn, 2)
	for i, s := range all {
		require.NoError(e, s.Post(func() {
			both <- struct{}{}
			for end := time.Now().Add(patience); len(both) < 2 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			c, err := all[1-i].Detach()
			assert.NoError(e, err)
			conns <- c
		}))
	}
	for range all {
		require.NoError(e, arrives(e, conns).Close())
	}
	for range all {
		h.closedWith(nil)
	}
}

// detachThenShutdown closes the Transport right after Detach. The connection is no longer the Transport's.
func detachThenShutdown(e *Env) {
	t := e.Open(nil)
	h := NewHooks()
	s, p := e.PairOn(t, h, tandem.StreamOptions{})
	e.small(s)
	want := Pattern(4 << 20)
	_, err := s.Write(want)
	require.NoError(e, err)
	c, err := s.Detach()
	require.NoError(e, err)
	require.NoError(e, t.Close())
	h.closedWith(nil)
	reading := readOn(p)
	_, err = c.Write([]byte("END"))
	require.NoError(e, err)
	_, err = p.Write([]byte("hello"))
	require.NoError(e, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(c, got)
	require.NoError(e, err)
	require.Equal(e, "hello", string(got))
	require.NoError(e, c.Close())
	reading.gotAll(e, append(bytes.Clone(want), "END"...))
}

// detachIsTheEnd calls methods of a stream behind Detach, in the same callback. They touch nothing.
func detachIsTheEnd(e *Env) {
	for name, op := range map[string]func(*tandem.Stream) error{
		"Close": (*tandem.Stream).Close, "Abort": (*tandem.Stream).Abort, "CloseWrite": (*tandem.Stream).CloseWrite,
		"Write":  func(s *tandem.Stream) error { _, err := s.Write([]byte("x")); return err },
		"Detach": func(s *tandem.Stream) error { _, err := s.Detach(); return err },
		"panic":  func(*tandem.Stream) error { panic("on purpose") },
	} {
		h := NewHooks()
		s, p := e.Pair(h, tandem.StreamOptions{})
		conns := make(chan net.Conn, 1)
		var result error
		require.NoError(e, s.Post(func() {
			c, err := s.Detach()
			require.NoError(e, err)
			conns <- c
			result = op(s)
		}))
		c := arrives(e, conns)
		h.closedWith(nil)
		if name != "Close" && name != "Abort" && name != "panic" {
			require.ErrorIs(e, result, net.ErrClosed, name)
		}
		_, err := c.Write([]byte("alive"))
		require.NoError(e, err, name)
		require.Equal(e, "alive", string(e.ReadAll(p, 5)), name)
		require.NoError(e, c.Close())
	}
}
