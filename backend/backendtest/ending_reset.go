package backendtest

import (
	"errors"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
)

// resettable has a stream send a byte that its peer never reads: a Unix socket that is closed with unread bytes resets
// its peer, as TCP does when it is told to.
func (e *Env) resettable(h *Hooks, o tandem.StreamOptions) (*tandem.Stream, Peer) {
	e.Helper()
	s, p := e.Pair(h, o)
	_, err := s.Write([]byte("x"))
	e.Check(err, "write")
	e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
	return s, p
}

// peersReset has peers send and then reset. All that they sent is in this host's kernel by then.
func peersReset(e *Env) {
	want := Pattern(40_000)
	piecewise := func(h *Hooks) {
		h.Data = func(s *tandem.Stream) { // the reset overtakes this
			if h.Count("OnData") <= 3 {
				time.Sleep(5 * time.Millisecond)
			}
			h.Collect(s)
		}
	}
	unread := func(h *Hooks) {
		h.Data = func(*tandem.Stream) {}
		h.Close = func(s *tandem.Stream, _ error) { h.Collect(s) }
	}
	paused := func(h *Hooks) {
		h.Data = func(s *tandem.Stream) {
			if h.Collect(s); h.Count("OnData") <= 10 {
				s.PauseRead()
				s.After(time.Millisecond, s.ResumeRead)
			}
		}
		h.Close = func(s *tandem.Stream, _ error) { h.Collect(s) }
	}
	for what, set := range map[string]func(*Hooks){
		"read at once": func(*Hooks) {}, "read slowly": piecewise, "read in OnClose": unread, "paused and resumed": paused,
	} {
		for range 3 {
			h := NewHooks()
			set(h)
			_, p := e.resettable(h, tandem.StreamOptions{})
			_, err := p.Write(want)
			e.Check(err, "the peer's write")
			e.Check(p.Reset(), "reset")
			if err := h.Closed(); !errors.Is(err, syscall.ECONNRESET) {
				e.Errorf("%s: OnClose(%v)", what, err)
			}
			if h.Count("OnEOF") > 0 {
				e.Errorf("%s: OnEOF", what)
			}
			h.gotAll(want)
		}
	}
}

// resetBehindFullBuffer has a stream stop reading by itself. It learns of the reset when it goes on, behind the bytes.
func resetBehindFullBuffer(e *Env) {
	want := Pattern(40_000)
	h := NewHooks()
	reads := false
	h.Data = func(s *tandem.Stream) {
		if reads {
			h.Collect(s)
		}
	}
	h.Close = func(s *tandem.Stream, _ error) { h.Collect(s) }
	s, p := e.resettable(h, tandem.StreamOptions{ReadBufferLimit: 10_000})
	_, err := p.Write(want)
	e.Check(err, "the peer's write")
	full := func() (n int) {
		e.onLoop(s, func() { n = s.Buffered() })
		return n
	}
	e.Eventually(func() bool { return full() >= 10_000 }, "a full buffer")
	time.Sleep(moment)
	stopped := full() < len(want) // io_uring may have been handed all by then
	e.Check(p.Reset(), "reset")
	if stopped {
		h.StillOpen()
	}
	_ = s.Post(func() {
		reads = true
		h.Collect(s)
	})
	if err := h.Closed(); !errors.Is(err, syscall.ECONNRESET) {
		e.Errorf("OnClose(%v)", err)
	}
	if h.Count("OnEOF") > 0 {
		e.Error("OnEOF")
	}
	h.gotAll(want)
}

// failedWrite has a peer send, and reset while the stream writes as much as it can.
func failedWrite(e *Env) {
	incoming, chunk := Pattern(20_000), Pattern(60_000)
	for _, o := range []tandem.StreamOptions{{}, {ReadWhileBlocked: true}} {
		for _, inside := range []bool{true, false, true, false} {
			h := NewHooks()
			more := func(s *tandem.Stream) {
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
				for err := error(nil); err == nil || err == tandem.ErrWriteBufferFull; {
					if _, err = s.Write(chunk[:1000]); inside {
						return
					}
				}
			}()
			_, err := p.Write(incoming)
			e.Check(err, "the peer's write")
			e.ReadAll(p, 100_000)
			e.Eventually(func() bool { return !s.Writable() }, "a full queue")
			e.Check(p.Reset(), "reset")
			if err := h.Closed(); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				e.Errorf("OnClose(%v)", err)
			}
			if h.Count("OnEOF") > 0 {
				e.Error("OnEOF")
			}
			h.gotAll(incoming)
			if !await(done) {
				e.Fatal("a closed stream takes writes")
			}
		}
	}
}
