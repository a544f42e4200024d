package backendtest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on Detach and on what the stream does meanwhile. Those on connections that fail are in detach_failing.go, those
// on the Conn in detach_conn.go.
var detachRules = append([]Rule{
	{"S04_TakeThenDetach", takeThenDetach},
	{"S12_CompletionAfterDetach", completionAfterDetach},
	{"S30_DetachKeepsEverything", detachKeepsEverything},
	{"S30_DetachThenClose", detachThenClose},
	{"S30_DetachThenShutdown", detachThenShutdown},
	{"S30_DetachCrosswise", detachCrosswise},
	{"S30_DetachUnopened", detachUnopened},
	{"S30_AfterDetach", afterDetach},
	{"S30_DetachBesideAReset", detachBesideReset},
}, detachRulesLinux...)

// someFull is how many bytes fill a queue.
const someFull = 8 << 20

// takeThenDetach takes bytes and the connection, in any order in one callback. Then other streams of the loop go round
// all receive buffers.
func takeThenDetach(e *Env) {
	t := e.oneLoop()
	_, q := e.PairOn(t, echo(), session.StreamOptions{})
	sent := Pattern(held)
	for _, order := range []string{"Take, Detach", "Detach, Take", "Take, Detach, Release", "Take, Release, Detach", "Take, Take, Detach"} {
		h := NewHooks()
		type result struct {
			taken []*session.Buffer
			n     int // bytes that were read in all
			conn  net.Conn
		}
		results := make(chan result, 1)
		h.Data = func(s *session.Stream) {
			var r result
			for _, op := range bytes.Split([]byte(order), []byte(", ")) {
				switch string(op) {
				case "Take":
					b, err := s.Take(min(5000, s.Buffered()))
					assert.NoError(e, err)
					r.taken, r.n = append(r.taken, b), r.n+len(b.Bytes())
				case "Release":
					r.taken[0].Release()
					r.taken = r.taken[1:]
				case "Detach":
					c, err := s.Detach()
					assert.NoError(e, err)
					r.conn = c
				}
			}
			results <- r
		}
		begun := e.heldUp(t, h, session.StreamOptions{}, nothing, nothing)
		e.writeAll(begun.p, sent) // several buffers are there at once
		begun.goOn()
		r := arrives(e, results)
		h.closedWith(nil)
		for range 40 {
			e.writeAll(q, bytes.Repeat([]byte{'q'}, 60_000))
			e.ReadAll(q, 60_000)
		}
		at := 0
		for i, b := range r.taken {
			assert.True(e, bytes.Equal(sent[at:at+len(b.Bytes())], b.Bytes()), "%s: the bytes of take %d have changed", order, i+1)
			at += len(b.Bytes())
			b.Release()
		}
		e.reads(r.conn, sent[r.n:], order)
		assert.NoError(e, r.conn.Close())
	}
}

// reads checks that want comes from a Conn.
func (e *Env) reads(c net.Conn, want []byte, what string) {
	e.Helper()
	require.NoError(e, c.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	require.NoError(e, err, "%s: the Conn read %d of %d bytes", what, n, len(want))
	assert.True(e, bytes.Equal(want, got), "%s: bytes that were received differ", what)
}

// detachKeepsEverything detaches streams with bytes unread and bytes that are still on their way, with a full
// queue, and with a FIN that is to follow.
func detachKeepsEverything(e *Env) {
	in, out := Pattern(200_000), Pattern(someFull)
	for _, fin := range []bool{false, true} {
		for _, inside := range []bool{false, true} {
			h := NewHooks()
			h.Data = func(s *session.Stream) {
				if h.Len() == 0 {
					p, _ := s.Next(min(1000, s.Buffered()))
					h.keep(p)
				}
			}
			s, p := e.Pair(h, session.StreamOptions{ReadWhileBlocked: true})
			e.fillQueue(s)
			wrote := make(chan struct{})
			go func() { defer close(wrote); e.writeAll(p, in) }()
			e.Eventually(func() bool { return h.Len() > 0 }, "the first bytes")
			var c net.Conn
			detach := func() {
				if fin {
					assert.NoError(e, s.CloseWrite())
				}
				var err error
				c, err = s.Detach()
				assert.NoError(e, err)
			}
			if inside {
				e.onLoop(s, detach)
			} else {
				detach()
			}
			require.NotNil(e, c)
			r := readOn(p)
			if _, err := c.Write([]byte("tail")); fin {
				assert.ErrorIs(e, err, syscall.EPIPE)
			} else {
				require.NoError(e, err)
				out = append(out[:someFull:someFull], "tail"...)
				require.NoError(e, c.(interface{ CloseWrite() error }).CloseWrite())
			}
			e.reads(c, in[h.Len():], "behind a full queue")
			require.True(e, await(wrote))
			r.gotAll(e, out[:len(out):len(out)])
			out = out[:someFull]
			h.closedWith(nil)
			assert.NoError(e, c.Close())
		}
	}
}

// detachThenClose closes the Conn at once. The peer gets all that was queued, and then an end, although there are bytes
// that nobody has read.
func detachThenClose(e *Env) {
	out := Pattern(someFull)
	for _, inside := range []bool{false, true} {
		for _, size := range []int{0, 10, len(out)} {
			h := NewHooks()
			h.Data = nothing
			s, p := e.Pair(h, session.StreamOptions{})
			e.small(s)
			e.leaveUnread(h, s, p)
			end := func() {
				_, err := s.Write(out[:size])
				assert.NoError(e, err)
				c, err := s.Detach()
				if assert.NoError(e, err) {
					assert.NoError(e, c.Close())
					assert.ErrorIs(e, c.Close(), net.ErrClosed)
				}
			}
			if inside {
				e.onLoop(s, end)
			} else {
				end()
			}
			h.closedWith(nil)
			time.Sleep(moment / 3)
			readOn(p).gotAll(e, out[:size])
		}
	}
}

// detachThenShutdown closes the Transport right behind Detach. The Conn is not the Transport's.
func detachThenShutdown(e *Env) {
	in, out := Pattern(held), Pattern(someFull)
	for what, end := range map[string]func(*session.Engine) error{
		"Close":    (*session.Engine).Close,
		"Shutdown": func(t *session.Engine) error { return t.Shutdown(e.patient()) },
	} {
		e.Scenario(what, func() {
			t, h := e.Open(nil), NewHooks()
			h.Data = nothing
			s, p := e.PairOn(t, h, session.StreamOptions{ReadWhileBlocked: true})
			e.fillQueue(s)
			e.writeAll(p, in[:1000])
			e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
			c, err := s.Detach()
			require.NoError(e, err)
			require.NoError(e, end(t), what)
			h.closedWith(nil)
			r := readOn(p)
			e.writeAll(p, in[1000:])
			e.reads(c, in, what)
			_, err = c.Write([]byte("tail"))
			require.NoError(e, err, what)
			require.NoError(e, c.Close(), what)
			r.gotAll(e, append(out[:someFull:someFull], "tail"...))
		})
	}
}

// detachCrosswise has callbacks on two loops detach, and use, each other's streams at the same time.
func detachCrosswise(e *Env) {
	t := e.Open(func(o *Options) { o.Loops = 2 })
	h := NewHooks()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	for range 10 {
		var peers [2]Peer
		var streams [2]*session.Stream
		for i := range streams {
			peers[i] = e.Connect(l.Addr())
			streams[i] = h.Opened()
		}
		require.NotEqual(e, streams[0].Loop(), streams[1].Loop())
		var both, done sync.WaitGroup
		both.Add(2)
		done.Add(2)
		conns := make(chan net.Conn, 2)
		for i, s := range streams {
			require.NoError(e, s.Post(func() {
				defer done.Done()
				both.Done()
				both.Wait()
				c, err := streams[1-i].Detach()
				if !assert.NoError(e, err) {
					return
				}
				_, err = c.Write([]byte("hello"))
				assert.NoError(e, err)
				conns <- c
			}))
		}
		e.within("callbacks that detach each other's streams", done.Wait)
		for _, p := range peers {
			assert.Equal(e, "hello", string(e.ReadAll(p, 5)))
			h.closedWith(nil)
			assert.NoError(e, arrives(e, conns).Close())
		}
	}
	require.NoError(e, l.Close())
}

// detachUnopened detaches streams that have no connection yet, or whose loop cannot hand it over.
func detachUnopened(e *Env) {
	if !e.once() {
		return
	}
	refused := func(s *session.Stream) {
		e.Helper()
		c, err := s.Detach()
		var op *net.OpError
		if assert.ErrorAs(e, err, &op) {
			assert.ErrorIs(e, err, syscall.ENOTCONN)
		}
		assert.Nil(e, c)
	}
	t, h := e.driven(session.StreamOptions{}), NewHooks()
	h.env(e)
	a, b, err := socketPair()
	require.NoError(e, err)
	defer b.Close()
	s, err := t.Adopt(a, h)
	require.NoError(e, err)
	refused(s)
	var c net.Conn
	h.Open = func(s *session.Stream) {
		var err error
		c, err = s.Detach()
		assert.NoError(e, err)
	}
	e.poll(func() bool { return len(h.closed) > 0 }, "OnClose", t)
	h.closedWith(nil)
	_, err = c.Write([]byte("x"))
	require.NoError(e, err)
	require.NoError(e, c.Close())

	h = NewHooks()
	h.env(e)
	s, err = e.Under().Connect("tcp", e.unreachable(), h, nil)
	require.NoError(e, err)
	refused(s)
	require.NoError(e, s.Abort())
	h.closedWith(net.ErrClosed)
	_, err = s.Detach()
	assert.ErrorIs(e, err, net.ErrClosed)
}

// afterDetach uses a stream whose connection was given away. The stream has ended; the connection has not.
func afterDetach(e *Env) {
	for what, use := range map[string]func(*session.Stream){
		"Abort": func(s *session.Stream) { assert.NoError(e, s.Abort()) },
		"Close": func(s *session.Stream) { assert.NoError(e, s.Close()) },
		"Write": func(s *session.Stream) {
			_, err := s.Write([]byte("no"))
			assert.ErrorIs(e, err, net.ErrClosed)
			assert.ErrorIs(e, s.WriteNotify([]byte("no"), func(error) {}), net.ErrClosed)
		},
		"CloseWrite":  func(s *session.Stream) { assert.ErrorIs(e, s.CloseWrite(), net.ErrClosed) },
		"Post":        func(s *session.Stream) { assert.ErrorIs(e, s.Post(func() {}), net.ErrClosed) },
		"Detach":      func(s *session.Stream) { _, err := s.Detach(); assert.ErrorIs(e, err, net.ErrClosed) },
		"idle":        func(s *session.Stream) { s.SetIdleTimeout(time.Nanosecond); s.SetReadIdleTimeout(time.Nanosecond) },
		"PauseRead":   func(s *session.Stream) { s.PauseRead(); s.ResumeRead() },
		"SetHandler":  func(s *session.Stream) { s.SetHandler(s.Value().(session.Handler)) },
		"a panic":     func(*session.Stream) { panic("on purpose") },
		"a timer":     func(s *session.Stream) { s.After(0, nothingAtAll); s.Every(1, nothingAtAll) },
		"SyscallConn": func(s *session.Stream) { _, _ = s.SyscallConn() },
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			conns := make(chan net.Conn, 1)
			h.Open = func(s *session.Stream) { s.SetValue(session.Handler(h)) }
			h.Data = func(s *session.Stream) {
				assert.LessOrEqual(e, h.Count("OnData"), 1, "OnData after Detach and %s", what)
				_, _ = s.Write([]byte("yes"))
				c, err := s.Detach()
				assert.NoError(e, err)
				conns <- c
				use(s)
			}
			_, p := e.Pair(h, session.StreamOptions{})
			e.writeAll(p, Pattern(1000))
			c := arrives(e, conns)
			if err := h.Closed(); what != "a panic" {
				assert.NoError(e, err, what)
			}
			e.reads(c, Pattern(1000), what)
			assert.Equal(e, "yes", string(e.ReadAll(p, 3)), what)
			_, err := c.Write([]byte("more"))
			require.NoError(e, err, what)
			assert.Equal(e, "more", string(e.ReadAll(p, 4)), what)
			require.NoError(e, c.Close(), what)
		})
	}
}

func nothingAtAll() {}
