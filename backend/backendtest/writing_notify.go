package backendtest

import (
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/session"
)

// notes are the calls of functions given to WriteNotify, for one stream.
type notes struct {
	e      *Env
	t      *session.Engine
	mu     sync.Mutex // guards what follows
	calls  []int      // per write
	errs   []error
	ends   []uint64 // how many bytes there were with this write
	order  []int
	closed bool
}

// write makes the next notified write.
func (n *notes) write(s *session.Stream, p []byte) error {
	n.mu.Lock()
	i := len(n.calls)
	n.calls, n.errs, n.ends = append(n.calls, 0), append(n.errs, nil), append(n.ends, s.Stats().BytesQueued+uint64(len(p)))
	n.mu.Unlock()
	return s.WriteNotify(p, func(err error) { n.called(s, i, err) })
}

func (n *notes) called(s *session.Stream, i int, err error) {
	// A dial that is refused because it would wait tells that this is the loop.
	_, dialErr := n.t.Dial(n.e.Context(), "unix", "/nowhere", NewHooks(), nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[i]++
	n.errs[i] = err
	n.order = append(n.order, i)
	if !errors.Is(dialErr, errors.ErrUnsupported) {
		n.e.Errorf("write %d was notified outside the loop", i)
	}
	if n.closed {
		n.e.Errorf("write %d was notified after OnClose", i)
	}
	if sent := s.Stats().BytesSent; err == nil && sent < n.ends[i] {
		n.e.Errorf("write %d was notified when %d bytes were sent; it ends at %d", i, sent, n.ends[i])
	}
}

// hooks makes Hooks whose OnClose looks at the notes.
func (n *notes) hooks() *Hooks {
	h := NewHooks()
	h.Close = func(_ *session.Stream, err error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.closed = true
		for i, calls := range n.calls {
			if calls != 1 || n.errs[i] != nil && n.errs[i] != err {
				n.e.Errorf("write %d was notified %d times before OnClose(%v): %v", i, calls, err, n.errs[i])
			}
		}
	}
	return h
}

// count is how many notifications there were, and how many of them with an error.
func (n *notes) count() (all, failed int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i, calls := range n.calls {
		all += calls
		if n.errs[i] != nil {
			failed++
		}
	}
	return all, failed
}

func completion(e *Env) {
	n := &notes{e: e, t: e.oneLoop()}
	h := n.hooks()
	s, p := e.PairOn(n.t, h, session.StreamOptions{})
	e.small(s)
	r := readOn(p)
	total, writes := 0, 0
	for _, size := range []int{1, 0, 100, 70_000, 0, 600_000, 3} {
		e.Check(n.write(s, Pattern(size)), "write") // from outside, to a stream that may be idle
		e.onLoop(s, func() {
			e.noError(n.write(s, Pattern(size)))
			_, err := s.Write(Pattern(size)) // between them
			e.noError(err)
			e.noError(n.write(s, Pattern(size)))
		})
		total, writes = total+4*size, writes+3
		e.Eventually(func() bool { all, _ := n.count(); return all == writes }, "%d notifications", writes)
		if size == 100 { // also from an idle stream
			e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
		}
	}
	e.Eventually(func() bool { return r.len() == total }, "all bytes")
	if _, failed := n.count(); failed > 0 || !slices.IsSorted(n.order) {
		e.Errorf("%d writes failed; the order is %v", failed, n.order)
	}
	e.Check(n.write(s, Pattern(300_000)), "write")
	e.Check(n.write(s, nil), "write")
	e.Check(s.Close(), "close")
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
	if _, failed := n.count(); failed > 0 {
		e.Errorf("%d writes failed that Close should have sent", failed)
	}
	_, _ = r.all(e)
}

// completionOfTheLost ends streams whose bytes cannot all go out. That each write is told once, with OnClose's error,
// is looked at in notes.hooks.
func completionOfTheLost(e *Env) {
	for what, end := range map[string]func(s *session.Stream, p Peer){
		"Abort":        func(s *session.Stream, _ Peer) { e.Check(s.Abort(), "abort") },
		"CloseTimeout": func(s *session.Stream, _ Peer) { e.Check(s.Close(), "close") },
		"reset":        func(_ *session.Stream, p Peer) { e.Check(p.Reset(), "reset") },
		"panic":        func(s *session.Stream, _ Peer) { e.Check(s.Post(func() { panic("on purpose") }), "post") },
	} {
		n := &notes{e: e, t: e.Under()}
		h := n.hooks()
		s, p := e.Pair(h, session.StreamOptions{HighWater: 10_000, CloseTimeout: 20 * time.Millisecond})
		e.small(s)
		e.Check(n.write(s, Pattern(100)), "write")
		e.ReadAll(p, 100)
		e.Check(n.write(s, Pattern(8<<20)), "write")
		e.Check(n.write(s, Pattern(1)), "write")
		e.onLoop(s, func() { e.noError(n.write(s, Pattern(1000))); e.noError(n.write(s, nil)) })
		e.stalls(s)
		end(s, p)
		if err := h.Closed(); err == nil {
			e.Errorf("%s: OnClose(nil)", what)
		}
		if all, failed := n.count(); all != 5 || failed != 4 {
			e.Errorf("%s: %d notifications with %d errors, not 5 with 4", what, all, failed)
		}
	}
}

// completionOfTheLast closes a stream right behind a notified write, while the loop is busy with another notification.
func completionOfTheLast(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{})
	busy, closed := make(chan struct{}), make(chan struct{})
	e.Check(s.WriteNotify([]byte("first"), func(error) { close(busy); await(closed) }), "write")
	if !await(busy) {
		e.Fatal("no notification")
	}
	last := make(chan error, 2)
	e.Check(s.WriteNotify([]byte("last"), func(err error) { last <- err }), "write")
	e.Check(s.Close(), "close")
	close(closed)
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
	if len(last) != 1 {
		e.Fatalf("%d notifications", len(last))
	}
	if err := <-last; err != nil {
		e.Errorf("a write whose bytes were all sent is notified with %v", err)
	}
	e.ReadAll(p, len("firstlast"))
}

func completionOnShutdown(e *Env) {
	n := &notes{e: e, t: e.oneLoop()}
	h := n.hooks()
	s, p := e.PairOn(n.t, h, session.StreamOptions{})
	e.small(s)
	e.Check(n.write(s, Pattern(8<<20)), "write")
	e.Check(n.write(s, Pattern(10)), "write")
	e.Check(n.t.Close(), "close the Transport")
	if all, failed := n.count(); all != 2 || failed != 2 {
		e.Errorf("%d notifications with %d errors, not 2 with 2", all, failed)
	}
	if err := h.Closed(); err == nil {
		e.Error("OnClose(nil), although bytes were lost")
	}
	_, _ = io.Copy(io.Discard, p) // its end is a matter of other rules
}

func noCompletionOfRefused(e *Env) {
	never := func(err error) { e.Errorf("a write that was refused is notified: %v", err) }
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{WriteBufferLimit: 100_000})
	e.small(s)
	refuse := func(want error) {
		if err := s.WriteNotify(Pattern(90_000), never); err != want {
			e.Errorf("WriteNotify: %v, not %v", err, want)
		}
	}
	e.onLoop(s, func() {
		_, err := s.Write(Pattern(8 << 20))
		e.noError(err)
		refuse(session.ErrWriteBufferFull)
	})
	refuse(session.ErrWriteBufferFull)
	r := readOn(p)
	e.Check(s.CloseWrite(), "close for writing")
	refuse(net.ErrClosed)
	e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
	e.Check(s.Close(), "close")
	refuse(net.ErrClosed)
	if err := h.Closed(); err != nil {
		e.Errorf("OnClose(%v)", err)
	}
	refuse(net.ErrClosed)
	if got, err := r.all(e); len(got) != 8<<20 || err != io.EOF {
		e.Errorf("the peer got %d bytes, and %v", len(got), err)
	}
}

// noSignal writes to peers that are gone. The Go runtime ignores SIGPIPE unless the program asks for it, as it does here.
func noSignal(e *Env) {
	signals := make(chan os.Signal, 100)
	signal.Notify(signals, syscall.SIGPIPE)
	defer signal.Stop(signals)
	e.before = takeCensus() // package signal keeps a goroutine

	for what, write := range map[string]func(s *session.Stream) error{
		"Write": func(s *session.Stream) error { _, err := s.Write(Pattern(100)); return err },
		"Writev": func(s *session.Stream) error {
			_, err := s.Writev(net.Buffers{Pattern(100), Pattern(7000)})
			return err
		},
	} {
		for _, inside := range []bool{true, false} {
			h := NewHooks()
			gone := make(chan struct{})
			h.EOF = func(*session.Stream) { close(gone) }
			s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
			e.Check(p.Close(), "close the peer")
			if !await(gone) {
				e.Fatal("no OnEOF")
			}
			burst := func() (err error) { // the second finds that the connection has failed, before the loop does
				for range 20 {
					err = errors.Join(write(s), s.Flush())
				}
				return err
			}
			e.Eventually(func() (over bool) {
				if !inside {
					return burst() != nil
				}
				return s.Post(func() { _ = burst() }) != nil
			}, "the end of %s to a dead peer", what)
			if err := h.Closed(); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				e.Errorf("%s: OnClose(%v)", what, err)
			}
		}
	}
	select {
	case got := <-signals:
		e.Errorf("a write to a dead peer raised %v", got)
	case <-time.After(moment):
	}
}
