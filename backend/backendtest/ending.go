package backendtest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

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
	e.Check(err, "the peer's write")
	e.Check(p.CloseWrite(), "the peer's close for writing")
}

// closedWith waits for OnClose and checks its error.
func (h *Hooks) closedWith(want error) {
	h.e.Helper()
	if err := h.Closed(); err != want {
		h.e.Errorf("OnClose(%v), not %v", err, want)
	}
}

// got checks that all of want was collected, and nothing else.
func (h *Hooks) gotAll(want []byte) {
	h.e.Helper()
	if got := h.Got(); !bytes.Equal(got, want) {
		h.e.Errorf("%d bytes came in, which differ from the %d that were sent", len(got), len(want))
	}
}

// gotAll waits for the end of what a peer reads, and checks that it is all of want and then EOF.
func (r *reading) gotAll(e *Env, want []byte) {
	e.Helper()
	if got, err := r.all(e); err != io.EOF || !bytes.Equal(got, want) {
		e.Errorf("the peer got %d bytes and %v, not the %d that were written and EOF", len(got), err, len(want))
	}
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
			if n, err := s.Read(make([]byte, 10)); n != 0 || err != io.EOF {
				e.Errorf("Read after the end: %d, %v", n, err)
			}
			_, err := s.Write(reply)
			e.noError(err)
		}
		_, p := e.Pair(h, session.StreamOptions{})
		e.sendAndFinish(p, want)
		readOn(p).gotAll(e, reply)
		h.closedWith(nil)
		if n := h.Count("OnEOF"); n != 1 {
			e.Errorf("OnEOF was called %d times", n)
		}
	}
}

// finBehindAPause looks for an end that overtakes bytes.
func finBehindAPause(e *Env) {
	h := NewHooks()
	h.EOF = func(*session.Stream) { h.gotAll(Pattern(1000)) }
	s, p := e.Pair(h, session.StreamOptions{})
	s.PauseRead()
	e.sendAndFinish(p, Pattern(1000))
	h.StillOpen()
	if h.Count("OnData")+h.Count("OnEOF") > 0 {
		e.Error("OnData or OnEOF during a pause")
	}
	s.ResumeRead()
	h.closedWith(nil)
	h.gotAll(Pattern(1000))

	h = NewHooks() // a FIN alone
	s, p = e.Pair(h, session.StreamOptions{})
	s.PauseRead()
	e.Check(p.CloseWrite(), "close for writing")
	h.StillOpen()
	if h.Count("OnEOF") > 0 {
		e.Error("OnEOF during a pause")
	}
	s.ResumeRead()
	h.closedWith(nil)

	h = NewHooks() // paused in the last OnData, or just before OnEOF
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		s.PauseRead()
		s.After(time.Millisecond, s.ResumeRead)
	}
	h.EOF = func(*session.Stream) { h.gotAll(Pattern(50_000)) }
	_, p = e.Pair(h, session.StreamOptions{})
	e.sendAndFinish(p, Pattern(50_000))
	h.closedWith(nil)
	h.gotAll(Pattern(50_000))
}

// finWithAFullQueue has the peer finish before it reads anything.
func finWithAFullQueue(e *Env) {
	want, incoming := Pattern(6<<20), Pattern(10_000)
	for _, o := range []session.StreamOptions{{}, {ReadWhileBlocked: true}} {
		h := NewHooks()
		s, p := e.Pair(h, o)
		e.small(s)
		_, err := s.Write(want)
		e.Check(err, "write")
		e.sendAndFinish(p, incoming)
		if o.ReadWhileBlocked {
			e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
			if s.Queued() == 0 {
				e.Error("the queue is empty")
			}
		}
		h.StillOpen()
		readOn(p).gotAll(e, want)
		h.closedWith(nil)
		h.gotAll(incoming)
	}
}

func allowHalfClose(e *Env) {
	h := NewHooks()
	h.EOF = func(s *session.Stream) {
		_, err := s.Write([]byte("from OnEOF"))
		e.noError(err)
	}
	s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
	e.sendAndFinish(p, Pattern(1000))
	want := []byte("from OnEOF")
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	for _, n := range []int{1, 1000, 300_000} {
		h.StillOpen()
		_, err := s.Write(Pattern(n))
		e.Check(err, "write after OnEOF")
		e.onLoop(s, func() {
			_, err := s.Write(Pattern(n))
			e.noError(err)
		})
		want = append(append(want, Pattern(n)...), Pattern(n)...)
		if n == 1 {
			s.PauseRead()
			s.ResumeRead()
		}
	}
	r := readOn(p)
	e.Eventually(func() bool { return r.len() == len(want) }, "all bytes")
	e.Check(s.Close(), "close")
	r.gotAll(e, want)
	h.closedWith(nil)
	h.gotAll(Pattern(1000))
	if n := h.Count("OnEOF"); n != 1 {
		e.Errorf("OnEOF was called %d times", n)
	}
}

func closeWrite(e *Env) {
	want, incoming := Pattern(3<<20), Pattern(50_000)
	for _, inside := range []bool{true, false} {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{})
		e.small(s)
		finish := func() {
			_, err := s.Write(want)
			e.noError(err)
			e.noError(s.CloseWrite())
			if n, err := s.Write([]byte("late")); n != 0 || err != net.ErrClosed {
				e.Errorf("Write after CloseWrite: %d, %v", n, err)
			}
			if n, err := s.Writev(net.Buffers{[]byte("late")}); n != 0 || err != net.ErrClosed {
				e.Errorf("Writev after CloseWrite: %d, %v", n, err)
			}
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
		if _, err := s.Write([]byte("late")); err != net.ErrClosed {
			e.Errorf("Write after the end: %v", err)
		}
	}
}

// leaveUnread has a peer send bytes of which the stream reads none: it pauses in OnData, is given some more all the
// same, and leaves the rest with the kernel.
func (e *Env) leaveUnread(h *Hooks, s *session.Stream, p Peer) {
	e.Helper()
	for range 2 {
		_, err := p.Write(Pattern(1000))
		e.Check(err, "the peer's write")
		e.Eventually(func() bool { return h.Count("OnData") > 0 }, "OnData")
		time.Sleep(moment / 3)
	}
	for range 5 {
		e.onLoop(s, func() {}) // turns in which the kernel is told that nothing more is wanted
	}
	_, err := p.Write(Pattern(30_000))
	e.Check(err, "the peer's write")
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
			e.noError(err)
			e.noError(s.Close())
			e.noError(s.Close())
			if n, err := s.Write([]byte("late")); n != 0 || err != net.ErrClosed {
				e.Errorf("Write after Close: %d, %v", n, err)
			}
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
		e.Check(s.Close(), "close after the end")
		if n := h.Count("OnData"); c.inside && n != calls {
			e.Errorf("OnData was called %d times after Close", n-calls)
		}
	}
}

func closeTimeout(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{CloseTimeout: 50 * time.Millisecond})
	e.small(s)
	want := Pattern(8 << 20)
	_, err := s.Write(want)
	e.Check(err, "write")
	e.stalls(s)
	before := time.Now()
	e.Check(s.Close(), "close")
	h.closedWith(os.ErrDeadlineExceeded)
	if d := time.Since(before); d < 50*time.Millisecond {
		e.Errorf("the time to close ran out after %v", d)
	}
	got, err := readOn(p).all(e)
	require.Equal(e, want[:len(got)], got, "bytes that reached the peer")
	require.Less(e, len(got), len(want), "bytes that reached the peer")
	require.True(e, e.isReset(err), "the peer takes what it got for all there was: %v", err)
	require.Zero(e, s.Queued(), "bytes queued after the end")
}

// isReset tells whether a Peer's error is that of a connection that was reset. A Unix socket has nothing of that kind;
// its peer sees an end, or ECONNRESET if bytes of its own were lost.
func (e *Env) isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || e.Network == "unix" && err == io.EOF
}

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
		"closing":  func(c pair) { e.fillQueue(c.s); e.Check(c.s.Close(), "close") },
		"finished": func(c pair) { e.fillQueue(c.s); e.Check(c.s.CloseWrite(), "close for writing") },
		"half closed": func(c pair) {
			e.Check(c.p.CloseWrite(), "close for writing")
			e.Eventually(func() bool { return c.h.Count("OnEOF") > 0 }, "OnEOF")
		},
	} {
		for _, inside := range []bool{true, false} {
			h := NewHooks()
			h.Data = func(*session.Stream) {}
			s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
			prepare(pair{h, s, p})
			abort := func() {
				e.noError(s.Abort())
				e.noError(s.Abort())
				e.noError(s.Close())
			}
			if inside {
				e.onLoop(s, abort)
			} else {
				abort()
			}
			h.closedWith(net.ErrClosed)
			got, err := readOn(p).all(e)
			if !e.isReset(err) {
				e.Errorf("%s: the peer sees %v", what, err)
			}
			if len(got) > 6<<20 || s.Queued() != 0 {
				e.Errorf("%s: the peer got %d bytes, and %d are queued", what, len(got), s.Queued())
			}
		}
	}
}

// fillQueue queues more than the kernel and a peer take that does not read.
func (e *Env) fillQueue(s *session.Stream) {
	e.Helper()
	e.small(s)
	_, err := s.Write(Pattern(8 << 20))
	e.Check(err, "write")
	e.stalls(s)
}
