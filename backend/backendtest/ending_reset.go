package backendtest

import (
	"errors"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// resettable has a stream send a byte that its peer never reads: a Unix socket that is closed with unread bytes resets
// its peer, as TCP does when it is told to.
func (e *Env) resettable(t *session.Engine, h *Hooks, o session.StreamOptions) (*session.Stream, Peer) {
	e.Helper()
	s, p := e.PairOn(t, h, o)
	_, err := s.Write([]byte("x"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
	return s, p
}

// peersReset has peers send and then reset. All that they sent is in this host's kernel by then.
func peersReset(e *Env) {
	want := Pattern(40_000)
	piecewise := func(h *Hooks) {
		h.Data = func(s *session.Stream) { // the reset overtakes this
			if h.Count("OnData") <= 3 {
				time.Sleep(5 * time.Millisecond)
			}
			h.Collect(s)
		}
	}
	unread := func(h *Hooks) {
		h.Data = func(*session.Stream) {}
		h.Close = func(s *session.Stream, _ error) { h.Collect(s) }
	}
	paused := func(h *Hooks) {
		h.Data = func(s *session.Stream) {
			if h.Collect(s); h.Count("OnData") <= 10 {
				s.PauseRead()
				s.After(time.Millisecond, s.ResumeRead)
			}
		}
		h.Close = func(s *session.Stream, _ error) { h.Collect(s) }
	}
	for what, set := range map[string]func(*Hooks){
		"read at once": func(*Hooks) {}, "read slowly": piecewise, "read in OnClose": unread, "paused and resumed": paused,
	} {
		e.Scenario(what, func() {
			for range 3 {
				h := NewHooks()
				set(h)
				_, p := e.resettable(e.Under(), h, session.StreamOptions{})
				_, err := p.Write(want)
				require.NoError(e, err, "the peer's write")
				require.NoError(e, p.Reset(), "reset")
				err = h.Closed()
				assert.ErrorIs(e, err, syscall.ECONNRESET, "%s: the error of OnClose", what)
				assert.Zero(e, h.Count("OnEOF"), "%s: OnEOF", what)
				h.gotAll(want)
			}
		})
	}
}

// busyLoop has peers send and end at once, while the loop is busy, so that bytes and end are found together.
func (e *Env) busyLoop(end func(Peer) error, check func(h *Hooks, err error)) {
	t := e.oneLoop()
	busy, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	for _, n := range []int{1, 1000, 16 << 10, 40_000} {
		h := NewHooks()
		s, p := e.PairOn(t, h, session.StreamOptions{})
		_, err := s.Write([]byte("x")) // as in resettable
		require.NoError(e, err, "write")
		time.Sleep(time.Millisecond) // so that the loop most likely waits for bytes
		block, blocked := make(chan struct{}), make(chan struct{})
		require.NoError(e, busy.Post(func() { close(blocked); await(block) }), "post")
		<-blocked
		_, err = p.Write(Pattern(n))
		assert.NoError(e, err)
		assert.NoError(e, end(p))
		time.Sleep(time.Millisecond)
		close(block)
		err = h.Closed()
		h.gotAll(Pattern(n))
		check(h, err)
	}
}

// resetBehindBusyLoop has peers send and reset while the loop is busy. The bytes come first, then the reset, and no
// OnEOF.
func resetBehindBusyLoop(e *Env) {
	e.busyLoop(Peer.Reset, func(h *Hooks, err error) {
		assert.ErrorIs(e, err, syscall.ECONNRESET, "the error of OnClose")
		assert.Zero(e, h.Count("OnEOF"), "calls of OnEOF")
	})
}

// finBehindBusyLoop has peers send and finish while the loop is busy. All bytes come before OnEOF.
func finBehindBusyLoop(e *Env) {
	e.busyLoop(Peer.CloseWrite, func(h *Hooks, err error) {
		assert.NoError(e, err, "the error of OnClose")
		assert.Equal(e, 1, h.Count("OnEOF"), "calls of OnEOF")
	})
}

// manyBuffers opens a Transport for which a few bytes are many buffers. With io_uring a receive that finds more than 32
// buffers' worth goes on by another way through the kernel.
func (e *Env) manyBuffers() *session.Engine {
	return e.Open(func(o *Options) {
		o.Buffers, o.BufferSize = 1024, 64
	})
}

// fullBuffer has streams stop reading by themselves, and peers end meanwhile. They learn of it when they go on, behind
// the bytes.
func (e *Env) fullBuffer(end func(Peer) error) (h *Hooks, err error) {
	want := Pattern(40_000)
	h = NewHooks()
	reads := false
	h.Data = func(s *session.Stream) {
		if reads {
			h.Collect(s)
		}
	}
	h.Close = func(s *session.Stream, _ error) { h.Collect(s) }
	s, p := e.resettable(e.manyBuffers(), h, session.StreamOptions{ReadBufferLimit: 10_000})
	_, err = p.Write(want)
	require.NoError(e, err, "the peer's write")
	e.Eventually(func() bool { return e.buffered(s) >= 10_000 }, "a full buffer")
	time.Sleep(moment)
	stopped := e.buffered(s) < len(want) // io_uring may have been handed all by then
	require.NoError(e, end(p), "the peer's end")
	if stopped {
		h.StillOpen()
	}
	_ = s.Post(func() {
		reads = true
		h.Collect(s)
	})
	err = h.Closed()
	h.gotAll(want)
	return h, err
}

// resetBehindFullBuffer resets a stream that reads nothing because its buffer is full. It learns of that behind the
// bytes.
func resetBehindFullBuffer(e *Env) {
	h, err := e.fullBuffer(Peer.Reset)
	assert.ErrorIs(e, err, syscall.ECONNRESET, "the error of OnClose")
	assert.Zero(e, h.Count("OnEOF"), "calls of OnEOF")
}

// finBehindFullBuffer has peers finish while a stream reads nothing because its buffer is full. OnEOF comes behind
// the bytes.
func finBehindFullBuffer(e *Env) {
	h, err := e.fullBuffer(Peer.CloseWrite)
	assert.NoError(e, err, "the error of OnClose")
	assert.Equal(e, 1, h.Count("OnEOF"), "calls of OnEOF")
}

// failedWrite has a peer send, and reset while the stream writes as much as it can.
func failedWrite(e *Env) {
	incoming, chunk := Pattern(20_000), Pattern(60_000)
	for _, o := range []session.StreamOptions{{}, {ReadWhileBlocked: true}} {
		for _, inside := range []bool{true, false, true, false} {
			h := NewHooks()
			more := func(s *session.Stream) {
				for s.Writable() {
					if _, err := s.Write(chunk); err != nil {
						return
					}
				}
			}
			if inside {
				h.Writable = more
			}
			s, p := e.Pair(h, o)
			e.small(s)
			if inside {
				e.onLoop(s, func() { more(s) })
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for err := error(nil); err == nil || err == session.ErrWriteBufferFull; {
					if _, err = s.Write(chunk[:1000]); inside {
						return
					}
				}
			}()
			_, err := p.Write(incoming)
			require.NoError(e, err, "the peer's write")
			e.ReadAll(p, 100_000)
			e.Eventually(func() bool { return !s.Writable() }, "a full queue")
			require.NoError(e, p.Reset(), "reset")
			if err := h.Closed(); !errors.Is(err, syscall.EPIPE) {
				assert.ErrorIs(e, err, syscall.ECONNRESET, "the error of OnClose")
			}
			assert.Zero(e, h.Count("OnEOF"), "OnEOF")
			h.gotAll(incoming)
			require.True(e, await(done), "a closed stream takes writes")
		}
	}
}
