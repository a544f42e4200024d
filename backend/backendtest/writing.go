package backendtest

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on writing. Those on turns and water marks are in writing_turn.go, those on how a write ends in
// writing_notify.go.
var writingRules = []Rule{
	{"S07_WholeWrites", wholeWrites},
	{"S08_AnyGoroutine", func(e *Env) { anyGoroutine(e, (*session.Stream).Close, nil) }},
	{"S08_AnyGoroutineCloseWrite", func(e *Env) { anyGoroutine(e, closeWriteAndClose, nil) }},
	{"S08_AnyGoroutineAbort", func(e *Env) { anyGoroutine(e, (*session.Stream).Abort, net.ErrClosed) }},
	{"S09_OneSendATurn", oneSendATurn},
	{"S09_EarlierThanTheTurn", earlierThanTheTurn},
	{"S09_DirectWrites", directWrites},
	{"S10_WaterMarks", waterMarks},
	{"S10_Defaults", waterDefaults},
	{"S11_PeerThatDoesNotRead", peerThatDoesNotRead},
	{"S11_ReadWhileBlocked", readWhileBlocked},
	{"S12_Completion", completion},
	{"S12_CompletionOfNothing", completionOfNothing},
	{"S12_CompletionOfTheLost", completionOfTheLost},
	{"S12_CompletionOfTheLast", completionOfTheLast},
	{"S12_CompletionOnShutdown", completionOnShutdown},
	{"S12_NoCompletionOfRefused", noCompletionOfRefused},
	{"S13_NoSignal", noSignal},
}

// small makes the buffers that the kernel has for a stream small, so that it takes little to fill them.
func (e *Env) small(s *session.Stream) {
	e.Helper()
	raw, err := s.SyscallConn()
	require.NoError(e, err, "raw connection")
	require.NoError(e, raw.Control(func(fd uintptr) {
		for _, option := range []int{syscall.SO_SNDBUF, syscall.SO_RCVBUF} {
			require.NoError(e, setSocketOption(syscall.SetsockoptInt, fd, option, 128<<10), "setsockopt")
		}
	}), "control")
}

// smallPeer makes the buffer that the kernel has for what a peer has not read small, and keeps it so: else the kernel lets
// it grow while the peer reads, up to net.ipv4.tcp_rmem[2], which is 32 MiB on some machines.
func (e *Env) smallPeer(p Peer) {
	e.Helper()
	switch p := p.(type) {
	case *streamPeer:
		e.small(p.stream)
	case plainPeer:
		if c, ok := p.halfCloser.(interface{ SetReadBuffer(int) error }); ok {
			require.NoError(e, c.SetReadBuffer(128<<10), "SetReadBuffer")
		}
	}
}

// setSocketOption is there because a descriptor is an int on one system and a handle on another.
func setSocketOption[FD ~int | ~uintptr](set func(FD, int, int, int) error, fd uintptr, option, value int) error {
	return set(FD(fd), syscall.SOL_SOCKET, option, value)
}

// onLoop runs fn on the stream's loop and waits for its end. fn must not end the test.
func (e *Env) onLoop(s *session.Stream, fn func()) {
	e.Helper()
	done := make(chan struct{})
	require.NoError(e, s.Post(func() { defer close(done); fn() }), "post")
	require.True(e, await(done), "a posted function never ran")
}

// buffered returns how many bytes a stream holds that nobody has read.
func (e *Env) buffered(s *session.Stream) (n int) {
	e.Helper()
	e.onLoop(s, func() { n = s.Buffered() })
	return n
}

// await waits for a channel to be closed. Callbacks may use it where a test wants a loop to be busy.
func await(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	case <-time.After(patience):
		return false
	}
}

// reading is what was read from a Peer by another goroutine.
type reading struct {
	mu   sync.Mutex // guards what follows, until done
	got  []byte
	err  error // why it ended
	done chan struct{}
}

// readOn reads from a Peer until its end, in the background.
func readOn(p Peer) *reading {
	r := &reading{done: make(chan struct{})}
	go func() {
		defer close(r.done)
		b := make([]byte, 64<<10)
		for {
			n, err := p.Read(b)
			r.mu.Lock()
			r.got, r.err = append(r.got, b[:n]...), err
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return r
}

func (r *reading) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

// ended reports whether the Peer has been read to its end.
func (r *reading) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// all waits for the end, and returns what was read and the error, which is io.EOF at best.
func (r *reading) all(e *Env) ([]byte, error) {
	e.Helper()
	require.True(e, await(r.done), "the peer's connection does not end; %d bytes came", r.len())
	return r.got, r.err
}

// limited writes to a stream and knows which writes have to be refused.
type limited struct {
	e      *Env
	s      *session.Stream
	limit  int
	calls  int
	want   []byte // what was taken
	full   int    // writes that were refused
	bigger int    // writes above the limit that were taken
	source []byte
}

// piece is n bytes that differ from call to call.
func (w *limited) piece(n int) []byte {
	w.calls++
	at := w.calls * 7919 % 50_000
	return w.source[at : at+n]
}

// write makes one write of n bytes on the loop, where nothing is sent behind its back.
func (w *limited) write(n int) {
	p := w.piece(n)
	before := w.s.Queued()
	taken, err := w.one(p)
	switch fits := before == 0 || before+n <= w.limit; {
	case fits && (err != nil || taken != n):
		w.e.Errorf("a write of %d bytes behind %d, with a limit of %d, took %d: %v", n, before, w.limit, taken, err)
	case !fits && (err != session.ErrWriteBufferFull || taken != 0 || w.s.Queued() != before):
		w.e.Errorf("a write of %d bytes behind %d, with a limit of %d, took %d and left %d queued: %v",
			n, before, w.limit, taken, w.s.Queued(), err)
	case !fits:
		w.full++
		return
	case n > w.limit:
		w.bigger++
	}
	w.want = append(w.want, p...)
}

// one makes a write by each method in turn. What it wrote is overwritten afterwards, because it is the caller's again.
func (w *limited) one(p []byte) (int, error) {
	mine := bytes.Clone(p)
	defer clear(mine)
	switch w.calls % 4 {
	case 0:
		if len(p) <= 2000 && w.s.Buffered() >= len(p) {
			return w.buffer(p)
		}
		return w.s.Write(mine)
	case 1:
		n, err := w.s.Writev(net.Buffers{mine[:len(p)/3], nil, mine[len(p)/3 : len(p)/2], mine[len(p)/2:]})
		return int(n), err
	case 2:
		err := w.s.WriteNotify(mine, func(error) {})
		if err != nil {
			return 0, err
		}
		return len(p), nil
	}
	return w.s.Write(mine)
}

// buffer writes p in memory that was received.
func (w *limited) buffer(p []byte) (int, error) {
	b, err := w.s.Take(len(p))
	if err != nil {
		return 0, err
	}
	copy(b.Bytes(), p)
	if err := w.s.WriteBuffer(b); err != nil {
		assert.True(w.e, bytes.Equal(b.Bytes(), p), "a Buffer that was refused has lost its bytes")
		b.Release()
		return 0, err
	}
	return len(p), nil
}

// wholeWrites writes pieces of many sizes, up to and above WriteBufferLimit. Each is taken whole or refused, and the
// peer gets those that were taken.
func wholeWrites(e *Env) {
	const limit = 256 << 10
	h := NewHooks()
	var buffered atomic.Int64
	h.Data = func(s *session.Stream) { buffered.Store(int64(s.Buffered())) } // reads nothing
	s, p := e.Pair(h, session.StreamOptions{WriteBufferLimit: limit})
	e.small(s)
	_, err := p.Write(make([]byte, 30_000)) // memory for WriteBuffer
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return buffered.Load() == 30_000 }, "the peer's bytes")
	w := &limited{e: e, s: s, limit: limit, source: Pattern(4 * limit)}
	for range 2 {
		e.onLoop(s, func() {
			w.write(limit + 50_000)
			for w.full%30 != 29 && w.calls < 100_000 {
				w.write(1 + w.calls*w.calls%20_000)
				w.write(1 + w.calls%2000)
			}
			w.full++
		})
		w.fillFromOutside()
		require.True(e, bytes.Equal(e.ReadAll(p, len(w.want)), w.want), "the bytes differ")
		e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
		w.want = nil
		require.GreaterOrEqual(e, w.full, 30, "%d writes were refused, and %d larger than the limit taken: nothing was tested", w.full, w.bigger)
		require.GreaterOrEqual(e, w.bigger, 1, "%d writes were refused, and %d larger than the limit taken: nothing was tested", w.full, w.bigger)
		for range 4 { // each method, from outside
			big := w.piece(2 * limit)
			n, err := w.one(big)
			require.Equal(e, len(big), n, "bytes taken of a write larger than the limit to an empty queue")
			require.NoError(e, err, "a write larger than the limit to an empty queue")
			require.True(e, bytes.Equal(e.ReadAll(p, len(big)), big), "the bytes of a large write differ")
			e.Eventually(func() bool { return s.Queued() == 0 }, "an empty queue")
		}
	}
}

// fillFromOutside writes until the stream refuses, on a goroutine that is not the loop's.
func (w *limited) fillFromOutside() {
	for refused := 0; refused < 10; {
		p := w.piece(1 + w.calls%3000)
		switch n, err := w.s.Write(p); {
		case err == nil && n == len(p):
			w.want = append(w.want, p...)
		case err == session.ErrWriteBufferFull && n == 0:
			refused++
		default:
			w.e.Fatalf("Write of %d bytes: %d, %v", len(p), n, err)
		}
	}
}
