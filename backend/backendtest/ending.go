package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on how streams end. Those on failures are in ending_reset.go, those on what comes afterwards in
// ending_after.go.
var endingRules = []Rule{
	{"S14_PeersFIN", peersFIN},
	{"S14_FINBehindAPause", finBehindAPause},
	{"S14_FINWithAFullQueue", finWithAFullQueue},
	{"S14_FINBehindABusyLoop", finBehindBusyLoop},
	{"S14_FINBehindAFullBuffer", finBehindFullBuffer},
	{"S14_AllowHalfClose", allowHalfClose},
	{"S15_CloseWrite", closeWrite},
	{"S16_Close", closeSends},
	{"S16_CloseTimeout", closeTimeout},
	{"S17_Abort", abortDrops},
	{"S18_PeersReset", peersReset},
	{"S18_ResetBehindABusyLoop", resetBehindBusyLoop},
	{"S18_ResetBehindAFullBuffer", resetBehindFullBuffer},
	{"S19_FailedWrite", failedWrite},
	{"S20_AfterTheEnd", closedStreams},
	{"S20_InsideAnyCallback", insideAnyCallback},
	{"S20_ResetAtAnyPoint", resetAtAnyPoint},
	{"S20_ReusedDescriptors", reusedDescriptors},
}

// sendAndFinish sends from a peer, and then a FIN.
func (e *Env) sendAndFinish(p Peer, b []byte) {
	e.Helper()
	_, err := p.Write(b)
	require.NoError(e, err, "the peer's write")
	require.NoError(e, p.CloseWrite(), "the peer's close for writing")
}

// closedWith waits for OnClose and checks its error.
func (h *Hooks) closedWith(want error) {
	h.e.Helper()
	err := h.Closed()
	assert.Equal(h.e, want, err, "the error of OnClose")
}

// got checks that all of want was collected, and nothing else.
func (h *Hooks) gotAll(want []byte) {
	h.e.Helper()
	got := h.Got()
	assert.True(h.e, bytes.Equal(got, want), "%d bytes came in, which differ from the %d that were sent", len(got), len(want))
}

// gotAll waits for the end of what a peer reads, and checks that it is all of want and then EOF.
func (r *reading) gotAll(e *Env, want []byte) {
	e.Helper()
	got, err := r.all(e)
	assert.Equal(e, io.EOF, err, "the peer got %d bytes and %v, not the %d that were written and EOF", len(got), err, len(want))
	assert.True(e, bytes.Equal(got, want), "the peer got %d bytes and %v, not the %d that were written and EOF", len(got), err, len(want))
}

// peersFIN answers what came in when its end has come.
func peersFIN(e *Env) {
	want, reply := Pattern(100_000), Pattern(300_000)
	for _, reads := range []bool{true, false} {
		h := NewHooks()
		if !reads {
			h.Data = func(*session.Stream) {}
		}
		h.EOF = func(s *session.Stream) {
			h.Collect(s)
			h.gotAll(want)
			n, err := s.Read(make([]byte, 10))
			assert.Zero(e, n, "bytes from Read after the end")
			assert.Equal(e, io.EOF, err, "Read after the end")
			_, err = s.Write(reply)
			assert.NoError(e, err)
		}
		_, p := e.Pair(h, session.StreamOptions{})
		e.sendAndFinish(p, want)
		readOn(p).gotAll(e, reply)
		h.closedWith(nil)
		n := h.Count("OnEOF")
		assert.Equal(e, 1, n, "calls of OnEOF")
	}
}

// finBehindAPause has the peer finish while reading is paused. OnEOF does not overtake bytes.
func finBehindAPause(e *Env) {
	e.Scenario("bytes and FIN in a pause", func() {
		h := NewHooks()
		h.EOF = func(*session.Stream) { h.gotAll(Pattern(1000)) }
		s, p := e.Pair(h, session.StreamOptions{})
		s.PauseRead()
		e.sendAndFinish(p, Pattern(1000))
		h.StillOpen()
		assert.Zero(e, h.Count("OnData")+h.Count("OnEOF"), "OnData or OnEOF during a pause")
		s.ResumeRead()
		h.closedWith(nil)
		h.gotAll(Pattern(1000))
	})
	e.Scenario("FIN alone in a pause", func() {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{})
		s.PauseRead()
		require.NoError(e, p.CloseWrite(), "close for writing")
		h.StillOpen()
		assert.Zero(e, h.Count("OnEOF"), "OnEOF during a pause")
		s.ResumeRead()
		h.closedWith(nil)
	})
	e.Scenario("a pause after each piece", func() {
		h := NewHooks()
		h.Data = func(s *session.Stream) {
			h.Collect(s)
			s.PauseRead()
			s.After(time.Millisecond, s.ResumeRead)
		}
		h.EOF = func(*session.Stream) { h.gotAll(Pattern(50_000)) }
		_, p := e.Pair(h, session.StreamOptions{})
		e.sendAndFinish(p, Pattern(50_000))
		h.closedWith(nil)
		h.gotAll(Pattern(50_000))
	})
}

// finWithAFullQueue has the peer finish before it reads anything.
func finWithAFullQueue(e *Env) {
	want, incoming := Pattern(6<<20), Pattern(10_000)
	for _, o := range []session.StreamOptions{{}, {ReadWhileBlocked: true}} {
		h := NewHooks()
		s, p := e.Pair(h, o)
		e.small(s)
		_, err := s.Write(want)
		require.NoError(e, err, "write")
		e.sendAndFinish(p, incoming)
		if o.ReadWhileBlocked {
			e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
			assert.NotZero(e, s.Queued(), "the queue is empty")
		}
		h.StillOpen()
		readOn(p).gotAll(e, want)
		h.closedWith(nil)
		h.gotAll(incoming)
	}
}

// allowHalfClose writes after OnEOF on a stream with AllowHalfClose. It stays open, and OnEOF is called once.
func allowHalfClose(e *Env) {
	h := NewHooks()
	h.EOF = func(s *session.Stream) {
		_, err := s.Write([]byte("from OnEOF"))
		assert.NoError(e, err)
	}
	s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
	e.sendAndFinish(p, Pattern(1000))
	want := []byte("from OnEOF")
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	for _, n := range []int{1, 1000, 300_000} {
		h.StillOpen()
		_, err := s.Write(Pattern(n))
		require.NoError(e, err, "write after OnEOF")
		e.onLoop(s, func() {
			_, err := s.Write(Pattern(n))
			assert.NoError(e, err)
		})
		want = append(append(want, Pattern(n)...), Pattern(n)...)
		if n == 1 {
			s.PauseRead()
			s.ResumeRead()
		}
	}
	r := readOn(p)
	e.Eventually(func() bool { return r.len() == len(want) }, "all bytes")
	require.NoError(e, s.Close(), "close")
	r.gotAll(e, want)
	h.closedWith(nil)
	h.gotAll(Pattern(1000))
	n := h.Count("OnEOF")
	assert.Equal(e, 1, n, "calls of OnEOF")
}

// closeWrite calls CloseWrite with a full queue. The peer gets all of it and then the end; reading goes on, and
// writing is an error.
func closeWrite(e *Env) {
	want, incoming := Pattern(3<<20), Pattern(50_000)
	for _, inside := range []bool{true, false} {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{})
		e.small(s)
		finish := func() {
			_, err := s.Write(want)
			assert.NoError(e, err)
			assert.NoError(e, s.CloseWrite())
			n, err := s.Write([]byte("late"))
			assert.Zero(e, n, "bytes taken by Write after CloseWrite")
			assert.Equal(e, net.ErrClosed, err, "Write after CloseWrite")
			all, err := s.Writev(net.Buffers{[]byte("late")})
			assert.Zero(e, all, "bytes taken by Writev after CloseWrite")
			assert.Equal(e, net.ErrClosed, err, "Writev after CloseWrite")
		}
		if inside {
			e.onLoop(s, finish)
		} else {
			finish()
		}
		time.Sleep(moment) // while the queue waits for the peer
		readOn(p).gotAll(e, want)
		h.StillOpen()
		e.sendAndFinish(p, incoming)
		h.closedWith(nil)
		h.gotAll(incoming)
		_, err := s.Write([]byte("late"))
		assert.Equal(e, net.ErrClosed, err, "Write after the end")
	}
}

// leaveUnread has a peer send bytes of which the stream reads none: it pauses in OnData, is given some more all the
// same, and leaves the rest with the kernel.
func (e *Env) leaveUnread(h *Hooks, s *session.Stream, p Peer) {
	e.Helper()
	for range 2 {
		_, err := p.Write(Pattern(1000))
		require.NoError(e, err, "the peer's write")
		e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
		time.Sleep(moment / 3)
	}
	for range 5 {
		e.onLoop(s, func() {}) // turns in which the kernel is told that nothing more is wanted
	}
	_, err := p.Write(Pattern(30_000))
	require.NoError(e, err, "the peer's write")
}

// closeSends closes streams whose peer has sent bytes that nobody read, and reads slowly.
func closeSends(e *Env) {
	want := Pattern(4 << 20)
	for _, c := range []struct {
		inside bool
		size   int
	}{{true, len(want)}, {false, len(want)}, {true, 10}, {false, 10}, {true, 0}} {
		h := NewHooks()
		h.Data = func(s *session.Stream) { s.PauseRead() }
		s, p := e.Pair(h, session.StreamOptions{})
		e.leaveUnread(h, s, p)
		end := func() {
			_, err := s.Write(want[:c.size])
			assert.NoError(e, err)
			assert.NoError(e, s.Close())
			assert.NoError(e, s.Close())
			n, err := s.Write([]byte("late"))
			assert.Zero(e, n, "bytes taken by Write after Close")
			assert.Equal(e, net.ErrClosed, err, "Write after Close")
			s.ResumeRead()
		}
		calls := 0
		if c.inside {
			e.onLoop(s, func() { end(); calls = h.Count("OnData") })
		} else {
			end()
		}
		time.Sleep(moment)
		readOn(p).gotAll(e, want[:c.size])
		h.closedWith(nil)
		require.NoError(e, s.Close(), "close after the end")
		if n := h.Count("OnData"); c.inside {
			assert.Equal(e, calls, n, "calls of OnData after Close")
		}
	}
}

// closeTimeout closes a stream whose peer reads nothing. After CloseTimeout the peer is reset.
func closeTimeout(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{CloseTimeout: 50 * time.Millisecond})
	e.small(s)
	want := Pattern(8 << 20)
	_, err := s.Write(want)
	require.NoError(e, err, "write")
	e.stalls(s)
	before := time.Now()
	require.NoError(e, s.Close(), "close")
	h.closedWith(os.ErrDeadlineExceeded)
	assert.GreaterOrEqual(e, time.Since(before), 50*time.Millisecond, "the time after which CloseTimeout ran out")
	got, err := readOn(p).all(e)
	require.Equal(e, want[:len(got)], got, "bytes that reached the peer")
	require.Less(e, len(got), len(want), "bytes that reached the peer")
	require.True(e, e.isReset(err), "the peer takes what it got for all there was: %v", err)
	require.Zero(e, s.Queued(), "bytes queued after the end")
}

// isReset reports whether a Peer's error is that of a connection that was reset. A Unix socket has nothing of that kind;
// its peer sees an end, or ECONNRESET if bytes of its own were lost.
func (e *Env) isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || e.Network == "unix" && err == io.EOF
}

// abortDrops aborts streams in every state. The peer is reset, and nothing more is sent.
func abortDrops(e *Env) {
	type pair struct {
		h *Hooks
		s *session.Stream
		p Peer
	}
	for what, prepare := range map[string]func(c pair){
		"idle":   func(pair) {},
		"paused": func(c pair) { c.s.PauseRead(); e.writeAll(c.p, Pattern(1000)) },
		"with unread bytes": func(c pair) {
			e.writeAll(c.p, Pattern(1000))
			e.Eventually(func() bool { return c.h.Count("OnData") > 0 }, "OnData")
		},
		"blocked":  func(c pair) { e.fillQueue(c.s) },
		"closing":  func(c pair) { e.fillQueue(c.s); require.NoError(e, c.s.Close(), "close") },
		"finished": func(c pair) { e.fillQueue(c.s); require.NoError(e, c.s.CloseWrite(), "close for writing") },
		"half closed": func(c pair) {
			require.NoError(e, c.p.CloseWrite(), "close for writing")
			e.Eventually(func() bool { return c.h.Count("OnEOF") > 0 }, "OnEOF")
		},
	} {
		e.Scenario(what, func() {
			for _, inside := range []bool{true, false} {
				h := NewHooks()
				h.Data = func(*session.Stream) {}
				s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
				prepare(pair{h, s, p})
				abort := func() {
					assert.NoError(e, s.Abort())
					assert.NoError(e, s.Abort())
					assert.NoError(e, s.Close())
				}
				if inside {
					e.onLoop(s, abort)
				} else {
					abort()
				}
				h.closedWith(net.ErrClosed)
				got, err := readOn(p).all(e)
				assert.True(e, e.isReset(err), "%s: the peer sees %v", what, err)
				assert.False(e, len(got) > 6<<20 || s.Queued() != 0, "%s: the peer got %d bytes, and %d are queued", what, len(got), s.Queued())
			}
		})
	}
}

// fillQueue queues more bytes than the kernel takes for a peer that does not read.
func (e *Env) fillQueue(s *session.Stream) {
	e.Helper()
	e.small(s)
	_, err := s.Write(Pattern(8 << 20))
	require.NoError(e, err, "write")
	e.stalls(s)
}
