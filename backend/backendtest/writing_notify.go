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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
	// A dial is refused because it would wait exactly if this is the loop.
	_, dialErr := n.t.Dial(n.e.Context(), "unix", "/nowhere", NewHooks(), nil)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.calls[i]++
	n.errs[i] = err
	n.order = append(n.order, i)
	assert.ErrorIs(n.e, dialErr, errors.ErrUnsupported, "write %d was notified outside the loop", i)
	assert.False(n.e, n.closed, "write %d was notified after OnClose", i)
	if sent := s.Stats().BytesSent; err == nil {
		assert.GreaterOrEqual(n.e, sent, n.ends[i], "write %d was notified when %d bytes were sent; it ends at %d", i, sent, n.ends[i])
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
			assert.Equal(n.e, 1, calls, "write %d was notified %d times before OnClose(%v): %v", i, calls, err, n.errs[i])
			assert.False(n.e, n.errs[i] != nil && n.errs[i] != err, "write %d was notified %d times before OnClose(%v): %v", i, calls, err, n.errs[i])
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

// completion notifies writes of many sizes. Each is told once, in order, when the kernel has taken its last byte.
func completion(e *Env) {
	n := &notes{e: e, t: e.oneLoop()}
	h := n.hooks()
	s, p := e.PairOn(n.t, h, session.StreamOptions{})
	e.small(s)
	r := readOn(p)
	total, writes := 0, 0
	for _, size := range []int{1, 0, 100, 70_000, 0, 600_000, 3} {
		require.NoError(e, n.write(s, Pattern(size)), "write") // from outside, to a stream that may be idle
		e.onLoop(s, func() {
			assert.NoError(e, n.write(s, Pattern(size)))
			_, err := s.Write(Pattern(size)) // between them
			assert.NoError(e, err)
			assert.NoError(e, n.write(s, Pattern(size)))
		})
		total, writes = total+4*size, writes+3
		e.Eventually(func() bool { all, _ := n.count(); return all == writes }, "%d notifications", writes)
		if size == 100 { // also from an idle stream
			e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
		}
	}
	e.Eventually(func() bool { return r.len() == total }, "all bytes")
	_, failed := n.count()
	assert.Zero(e, failed, "%d writes failed; the order is %v", failed, n.order)
	assert.True(e, slices.IsSorted(n.order), "%d writes failed; the order is %v", failed, n.order)
	require.NoError(e, n.write(s, Pattern(300_000)), "write")
	require.NoError(e, n.write(s, nil), "write")
	require.NoError(e, s.Close(), "close")
	err := h.Closed()
	assert.NoError(e, err, "the error of OnClose")
	_, failed = n.count()
	assert.Zero(e, failed, "%d writes failed that Close should have sent", failed)
	_, _ = r.all(e)
}

// completionOfNothing notifies an empty write from outside the loop, to a peer that has gone. There is nothing to send, so
// nothing fails: the function is told nil, and the stream lives on.
func completionOfNothing(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
	require.NoError(e, p.Close(), "close the peer")
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	told := make(chan error, 1)
	require.NoError(e, s.WriteNotify(nil, func(err error) { told <- err }), "write nothing")
	assert.NoError(e, arrives(e, told), "what the function is told")
	e.onLoop(s, func() {})
	h.StillOpen()
	require.NoError(e, s.Close(), "close")
	assert.NoError(e, h.Closed(), "the error of OnClose")
}

// completionOfTheLost ends streams whose bytes cannot all go out. That each write is told once, with OnClose's error,
// is looked at in notes.hooks.
func completionOfTheLost(e *Env) {
	for what, end := range map[string]func(s *session.Stream, p Peer){
		"Abort":        func(s *session.Stream, _ Peer) { require.NoError(e, s.Abort(), "abort") },
		"CloseTimeout": func(s *session.Stream, _ Peer) { require.NoError(e, s.Close(), "close") },
		"reset":        func(_ *session.Stream, p Peer) { require.NoError(e, p.Reset(), "reset") },
		"panic":        func(s *session.Stream, _ Peer) { require.NoError(e, s.Post(func() { panic("on purpose") }), "post") },
	} {
		e.Scenario(what, func() {
			n := &notes{e: e, t: e.Under()}
			h := n.hooks()
			s, p := e.Pair(h, session.StreamOptions{HighWater: 10_000, CloseTimeout: 20 * time.Millisecond})
			e.small(s)
			require.NoError(e, n.write(s, Pattern(100)), "write")
			e.ReadAll(p, 100)
			require.NoError(e, n.write(s, Pattern(8<<20)), "write")
			require.NoError(e, n.write(s, Pattern(1)), "write")
			e.onLoop(s, func() { assert.NoError(e, n.write(s, Pattern(1000))); assert.NoError(e, n.write(s, nil)) })
			e.stalls(s)
			end(s, p)
			assert.Error(e, h.Closed(), "%s: OnClose(nil)", what)
			all, failed := n.count()
			assert.Equal(e, 5, all, "%s: notifications, and those with an error", what)
			assert.Equal(e, 4, failed, "%s: notifications, and those with an error", what)
		})
	}
}

// completionOfTheLast closes a stream right behind a notified write, while the loop is busy with another notification.
func completionOfTheLast(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{})
	busy, closed := make(chan struct{}), make(chan struct{})
	require.NoError(e, s.WriteNotify([]byte("first"), func(error) { close(busy); await(closed) }), "write")
	require.True(e, await(busy), "no notification")
	last := make(chan error, 2)
	require.NoError(e, s.WriteNotify([]byte("last"), func(err error) { last <- err }), "write")
	require.NoError(e, s.Close(), "close")
	close(closed)
	err := h.Closed()
	assert.NoError(e, err, "the error of OnClose")
	require.Len(e, last, 1, "notifications")
	assert.NoError(e, <-last, "a write whose bytes were all sent is notified with")
	e.ReadAll(p, len("firstlast"))
}

// completionOnShutdown closes the Transport with writes pending. Each is told, with an error.
func completionOnShutdown(e *Env) {
	n := &notes{e: e, t: e.oneLoop()}
	h := n.hooks()
	s, p := e.PairOn(n.t, h, session.StreamOptions{})
	e.small(s)
	require.NoError(e, n.write(s, Pattern(8<<20)), "write")
	require.NoError(e, n.write(s, Pattern(10)), "write")
	require.NoError(e, n.t.Close(), "close the Transport")
	all, failed := n.count()
	assert.Equal(e, 2, all, "notifications, and those with an error")
	assert.Equal(e, 2, failed, "notifications, and those with an error")
	assert.Error(e, h.Closed(), "OnClose(nil), although bytes were lost")
	_, _ = io.Copy(io.Discard, p) // its end is a matter of other rules
}

// noCompletionOfRefused refuses writes. They are never told.
func noCompletionOfRefused(e *Env) {
	never := func(err error) { e.Errorf("a write that was refused is notified: %v", err) }
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{WriteBufferLimit: 100_000})
	e.small(s)
	refuse := func(want error) {
		err := s.WriteNotify(Pattern(90_000), never)
		assert.Equal(e, want, err, "the error of WriteNotify")
	}
	e.onLoop(s, func() {
		_, err := s.Write(Pattern(8 << 20))
		assert.NoError(e, err)
		refuse(session.ErrWriteBufferFull)
	})
	refuse(session.ErrWriteBufferFull)
	r := readOn(p)
	require.NoError(e, s.CloseWrite(), "close for writing")
	refuse(net.ErrClosed)
	e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
	require.NoError(e, s.Close(), "close")
	refuse(net.ErrClosed)
	err := h.Closed()
	assert.NoError(e, err, "the error of OnClose")
	refuse(net.ErrClosed)
	got, err := r.all(e)
	assert.False(e, len(got) != 8<<20 || err != io.EOF, "the peer got %d bytes, and %v", len(got), err)
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
		e.Scenario(what, func() {
			for _, inside := range []bool{true, false} {
				h := NewHooks()
				gone := make(chan struct{})
				h.EOF = func(*session.Stream) { close(gone) }
				s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
				require.NoError(e, p.Close(), "close the peer")
				require.True(e, await(gone), "no OnEOF")
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
				if err := h.Closed(); !errors.Is(err, syscall.EPIPE) {
					assert.ErrorIs(e, err, syscall.ECONNRESET, "%s: the error of OnClose", what)
				}
			}
		})
	}
	select {
	case got := <-signals:
		e.Errorf("a write to a dead peer raised %v", got)
	case <-time.After(moment):
	}
}
