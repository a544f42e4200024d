package backendtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// closedStream calls every method that any goroutine may call on a stream that has ended.
func (e *Env) closedStream(s *session.Stream, where string) {
	never := func(what string) func() { return func() { e.Errorf("%s: %s ran after the end", where, what) } }
	p := Pattern(100)
	_, write := s.Write(p)
	_, writev := s.Writev(net.Buffers{p, p})
	_, detach := s.Detach()
	_, raw := s.SyscallConn()
	_, who := s.PeerCredentials()
	for what, err := range map[string]error{
		"Write": write, "Writev": writev, "Detach": detach, "SyscallConn": raw, "PeerCredentials": who,
		"WriteFiles":  s.WriteFiles(p, os.Stdin),
		"WriteNotify": s.WriteNotify(p, func(error) { never("a notification")() }),
		"Flush":       s.Flush(), "CloseWrite": s.CloseWrite(), "Post": s.Post(never("a posted function")),
	} {
		assert.Equal(e, net.ErrClosed, err, "%s: %s returns", where, what)
	}
	for what, err := range map[string]error{"Close": s.Close(), "Abort": s.Abort()} {
		assert.NoError(e, err, "%s: %s returns", where, what)
	}
	s.PauseRead()
	s.ResumeRead()
	s.SetIdleTimeout(time.Nanosecond)
	s.After(0, never("a timer")).Stop()
	s.After(0, never("a timer"))
	assert.False(e, s.Writable(), "%s: Writable, and bytes queued", where)
	assert.Zero(e, s.Queued(), "%s: Writable, and bytes queued", where)
	_, _, _, _ = s.LocalAddr(), s.RemoteAddr(), s.Stats(), s.ID()
}

// closedReads calls every method that reads, on the loop of a stream that has ended with nothing unread.
func (e *Env) closedReads(s *session.Stream, where string) {
	_, peek := s.Peek(1)
	_, next := s.Next(1)
	_, discard := s.Discard(1)
	_, take := s.Take(1)
	_, read := s.Read(make([]byte, 1))
	for what, err := range map[string]error{"Peek": peek, "Next": next, "Discard": discard, "Take": take, "Read": read} {
		assert.Equal(e, net.ErrClosed, err, "%s: %s returns", where, what)
	}
	n, err := s.WriteTo(io.Discard)
	assert.Zero(e, n, "%s: WriteTo", where)
	assert.False(e, err != nil && err != net.ErrClosed, "%s: WriteTo", where)
	assert.Zero(e, s.Buffered(), "%s: bytes unread", where)
	assert.Nil(e, s.TakeFiles(), "%s: TakeFiles", where)
}

// closedStreams calls every method of streams that have ended in each way. Each returns net.ErrClosed or does
// nothing, and lent memory is unchanged.
func closedStreams(e *Env) {
	t := e.oneLoop()
	other, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	for what, end := range map[string]func(s *session.Stream, p Peer) error{
		"Close":  func(s *session.Stream, _ Peer) error { return s.Close() },
		"Abort":  func(s *session.Stream, _ Peer) error { return s.Abort() },
		"an end": func(_ *session.Stream, p Peer) error { return p.CloseWrite() },
		"reset":  func(_ *session.Stream, p Peer) error { return p.Reset() },
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			h.Close = func(s *session.Stream, _ error) {
				h.Collect(s)
				e.closedStream(s, "in OnClose after "+what)
				e.closedReads(s, "in OnClose after "+what)
			}
			var memory *session.Buffer
			h.Data = func(s *session.Stream) {
				if memory == nil && s.Buffered() >= 100 {
					memory, _ = s.Take(100)
				}
				if memory != nil {
					h.Collect(s)
				}
			}
			s, p := e.PairOn(t, h, session.StreamOptions{})
			_, err := p.Write(Pattern(1000))
			require.NoError(e, err, "the peer's write")
			e.Eventually(func() bool { return h.Len() == 900 }, "the peer's bytes")
			require.NoError(e, end(s, p), "end")
			h.Closed()
			err = s.WriteBuffer(memory)
			assert.Equal(e, net.ErrClosed, err, "after %s: WriteBuffer returns %v, and leaves %d bytes", what, err, len(memory.Bytes()))
			assert.True(e, bytes.Equal(memory.Bytes(), Pattern(100)), "after %s: WriteBuffer returns %v, and leaves %d bytes", what, err, len(memory.Bytes()))
			memory.Release()
			e.closedStream(s, "after "+what)
			e.onLoop(other, func() {
				e.closedStream(s, "on the loop, after "+what)
				e.closedReads(s, "on the loop, after "+what)
			})
		})
	}
	time.Sleep(moment) // for what must never run
}

// actions are what a callback may do to its own stream.
var actions = map[string]func(s *session.Stream){
	"Close":      func(s *session.Stream) { _ = s.Close() },
	"Abort":      func(s *session.Stream) { _ = s.Abort() },
	"CloseWrite": func(s *session.Stream) { _ = s.CloseWrite() },
	"Write":      func(s *session.Stream) { _, _ = s.Write(Pattern(200_000)) },
	"Pause":      func(s *session.Stream) { s.PauseRead(); s.After(2*time.Millisecond, s.ResumeRead) },
}

// insideAnyCallback does each of the actions in each callback.
func insideAnyCallback(e *Env) {
	for _, callback := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "OnClose", "notification", "timer", "Post"} {
		for name := range actions {
			e.insideCallback(callback, name)
		}
	}
}

func (e *Env) insideCallback(callback, name string) {
	h := NewHooks()
	var did atomic.Bool
	later := func() int { return h.Count("OnData") + h.Count("OnEOF") + h.Count("OnWritable") }
	calls := 0
	do := func(s *session.Stream, now string) {
		if now == callback && did.CompareAndSwap(false, true) {
			actions[name](s)
			calls = later()
		}
	}
	connected := make(chan struct{}) // or else a peer whose stream aborts in OnOpen may take it for a dial that failed
	h.Open = func(s *session.Stream) {
		await(connected)
		do(s, "OnOpen")
		s.After(time.Millisecond, func() { do(s, "timer") })
		_ = s.Post(func() { do(s, "Post") })
		_ = s.WriteNotify(Pattern(10), func(error) { do(s, "notification") })
	}
	h.Data = func(s *session.Stream) {
		h.Collect(s)
		_, _ = s.Write(Pattern(5000)) // above HighWater
		do(s, "OnData")
	}
	h.EOF = func(s *session.Stream) { do(s, "OnEOF") }
	h.Writable = func(s *session.Stream) { do(s, "OnWritable") }
	h.Close = func(s *session.Stream, _ error) { do(s, "OnClose") }

	p := e.pairAfter(h, session.StreamOptions{HighWater: 1000}, connected)
	r := readOn(p)
	_, _ = p.Write([]byte("hello"))
	if callback != "OnEOF" && callback != "OnClose" {
		e.Eventually(did.Load, "%s", callback)
	}
	_ = p.CloseWrite()
	var want error
	if name == "Abort" && callback != "OnClose" {
		want = net.ErrClosed
	}
	err := h.Closed()
	assert.Equal(e, want, err, "%s in %s: the error of OnClose", name, callback)
	assert.True(e, did.Load(), "%s in %s: the error of OnClose", name, callback)
	if got := later(); name == "Close" || name == "Abort" {
		assert.Equal(e, calls, got, "%s in %s: %d more callbacks", name, callback, got-calls)
	}
	_, _ = r.all(e)
}

// pairAfter is Pair, and closes connected as soon as the peer is connected.
func (e *Env) pairAfter(h *Hooks, o session.StreamOptions, connected chan struct{}) Peer {
	e.Helper()
	if e.Dialled {
		close(connected)
		_, p := e.Pair(h, o)
		return p
	}
	h.env(e)
	l, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{StreamOptions: o})
	require.NoError(e, err, "listen")
	p := e.Connect(l.Addr())
	close(connected)
	h.Opened()
	require.NoError(e, l.Close(), "close the listener")
	return p
}

// resetAtAnyPoint has peers reset connections at many points of their lives.
func resetAtAnyPoint(e *Env) {
	for i := range 40 {
		h := NewHooks()
		h.Open = func(s *session.Stream) { _, _ = s.Write(Pattern(i * 5000)) }
		h.Data = func(s *session.Stream) {
			h.Collect(s)
			_, _ = s.Write(Pattern(100_000))
		}
		s, p := e.Pair(h, session.StreamOptions{})
		_, err := p.Write(Pattern(i * 300))
		require.NoError(e, err, "the peer's write")
		if i%3 == 1 {
			e.ReadAll(p, i*1000)
		}
		orderly := e.Network == "unix"
		if i%5 == 2 {
			orderly = true
			require.NoError(e, p.CloseWrite(), "close for writing")
		}
		if i%4 == 3 {
			orderly = true
			require.NoError(e, s.Close(), "close")
		}
		require.NoError(e, p.Reset(), "reset")
		err = h.Closed()
		if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			assert.True(e, (orderly && err == nil), "point %d: the error of OnClose", i)
		}
		if !orderly {
			assert.Zero(e, h.Count("OnEOF"), "point %d: OnEOF", i)
		}
	}
}

// graveyard holds streams that have ended or are ending, while goroutines go on using them.
type graveyard struct {
	e       *Env
	mu      sync.Mutex // guards streams
	streams []*session.Stream
	stop    atomic.Bool
	wait    sync.WaitGroup
}

func (g *graveyard) add(s *session.Stream) {
	g.mu.Lock()
	g.streams = append(g.streams, s)
	g.mu.Unlock()
}

// disturb uses one of the last streams in every way.
func (g *graveyard) disturb() {
	g.mu.Lock()
	n := len(g.streams)
	if n == 0 {
		g.mu.Unlock()
		return
	}
	s := g.streams[n-1-rand.IntN(min(n, 8))]
	g.mu.Unlock()
	poison := bytes.Repeat([]byte{0xee}, 1000)
	_, write := s.Write(poison)
	_, writev := s.Writev(net.Buffers{poison, poison})
	for what, err := range map[string]error{
		"Write": write, "Writev": writev, "WriteNotify": s.WriteNotify(poison, func(error) {}), "CloseWrite": s.CloseWrite(),
	} {
		assert.Equal(g.e, net.ErrClosed, err, "%s after the end", what)
	}
	_ = s.Flush()
	s.PauseRead()
	s.ResumeRead()
	s.SetIdleTimeout(time.Nanosecond)
	assert.NoError(g.e, s.Close())
	assert.NoError(g.e, s.Abort())
}

func (g *graveyard) haunt(where func(func())) {
	g.wait.Go(func() {
		for !g.stop.Load() {
			where(g.disturb)
			time.Sleep(20 * time.Microsecond)
		}
	})
}

// reusedDescriptors opens and closes connections while streams that had the same descriptors are used.
func reusedDescriptors(e *Env) {
	g := &graveyard{e: e}
	living, _ := e.Pair(NewHooks(), session.StreamOptions{})
	for range 2 {
		g.haunt(func(fn func()) { fn() })
		g.haunt(func(fn func()) {
			done := make(chan struct{})
			if living.Post(func() { defer close(done); fn() }) == nil {
				await(done)
			}
		})
	}
	defer g.wait.Wait()
	defer g.stop.Store(true)
	source := Pattern(10_000)
	for i := range 60 {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{})
		mine := source[i*50 : i*50+3000]
		_, err := s.Write(mine[:2000])
		require.NoError(e, err, "write")
		e.onLoop(s, func() {
			_, err := s.Write(mine[2000:])
			assert.NoError(e, err)
		})
		_, err = p.Write(mine)
		require.NoError(e, err, "the peer's write")
		require.True(e, bytes.Equal(e.ReadAll(p, len(mine)), mine), "the peer got bytes of another stream")
		e.Eventually(func() bool { return h.Len() >= len(mine) }, "the peer's bytes")
		h.gotAll(mine)
		r := readOn(p)
		switch i % 4 {
		case 0:
			require.NoError(e, s.Close(), "close")
		case 1:
			require.NoError(e, s.Abort(), "abort")
		case 2:
			require.NoError(e, p.CloseWrite(), "the peer's close for writing")
			h.Closed()
		case 3:
			require.NoError(e, p.Reset(), "the peer's reset")
			h.Closed()
		}
		g.add(s)
		if i%4 < 2 {
			h.Closed()
		}
		more, _ := r.all(e)
		assert.Zero(e, len(more), "%d bytes came to the peer of a stream that was closed", len(more))
	}
}
