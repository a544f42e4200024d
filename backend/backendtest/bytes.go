package backendtest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on bytes: what arrives, and when.
var bytesRules = []Rule{
	{"S01_Order", order},
	{"S02_Life", lifeInOrder},
	{"S03_Data", dataOnce},
	{"S03_ResumeCallsAgain", resumeCallsAgain},
	{"S04_Borrowing", borrowing},
	{"S04_Take", take},
	{"S05_Pause", pause},
	{"S05_PausedLearnsOfReset", pausedReset},
	{"S06_BoundedReading", boundedReading},
}

// order sends pieces of many sizes. All bytes arrive once and in order.
func order(e *Env) {
	h := NewHooks()
	_, p := e.Pair(h, session.StreamOptions{})
	want := Pattern(3 << 20)
	go func() {
		rest := want
		for _, n := range []int{1, 2, 3, 63, 64, 65, 4095, 4096, 65536, 65537} {
			_, _ = p.Write(rest[:n])
			rest = rest[n:]
		}
		_, _ = p.Write(rest)
	}()
	e.Eventually(func() bool { return h.Len() >= len(want) }, "all bytes")
	require.True(e, bytes.Equal(h.Got(), want), "the bytes differ")
}

// lifeInOrder lets streams live from OnOpen to OnClose. Hooks checks the order, and each is called as often as there
// are streams.
func lifeInOrder(e *Env) {
	h := NewHooks() // which checks order, overlap and number of callbacks
	var wrote atomic.Int64
	h.Open = func(s *session.Stream) {
		for range 100 {
			n, _ := s.Write(Pattern(10))
			wrote.Add(int64(n))
		}
		time.Sleep(2 * time.Millisecond) // bytes of the peer are there before this returns
	}
	const streams = 20
	for range streams {
		_, p := e.Pair(h, session.StreamOptions{})
		_, err := p.Write(Pattern(1000))
		require.NoError(e, err, "write")
		e.ReadAll(p, 1000)
		require.NoError(e, p.CloseWrite(), "close for writing")
	}
	for range streams {
		err := h.Closed()
		require.NoError(e, err, "the error of OnClose")
	}
	for what, n := range map[string]int{"OnOpen": streams, "OnEOF": streams, "OnClose": streams} {
		assert.Equal(e, n, h.Count(what), "calls of %s", what)
	}
	assert.Equal(e, streams*1000, h.Len(), "bytes")
}

// dataOnce leaves bytes unread. OnData is called again only when more of them have come.
func dataOnce(e *Env) {
	h := NewHooks()
	seen := make(chan int, 1000)
	h.Data = func(s *session.Stream) { seen <- s.Buffered() } // reads nothing
	_, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte("hello"))
	require.NoError(e, err, "write")
	var n int
	for n < 5 {
		n = <-seen
	}
	calls := h.Count("OnData")
	time.Sleep(moment)
	require.Equal(e, calls, h.Count("OnData"), "OnData was called again for the same bytes")
	_, err = p.Write([]byte(", world"))
	require.NoError(e, err, "write")
	for n < 12 {
		n = <-seen
	}
}

// resumeCallsAgain leaves bytes unread, pauses and resumes. OnData is called again for the same bytes.
func resumeCallsAgain(e *Env) {
	h := NewHooks()
	calls := make(chan int, 1000)
	h.Data = func(s *session.Stream) { calls <- s.Buffered() }
	s, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte("hello"))
	require.NoError(e, err, "write")
	for n := 0; n < 5; {
		n = <-calls
	}
	for range 3 {
		s.PauseRead()
		s.ResumeRead()
		n := <-calls
		require.Equal(e, 5, n, "bytes in OnData after ResumeRead")
	}
}

// borrowing reads the same bytes by every method. All of them give the same.
func borrowing(e *Env) {
	h := NewHooks()
	fail := make(chan error, 1)
	done := make(chan struct{})
	want := Pattern(100)
	h.Data = func(s *session.Stream) {
		if s.Buffered() < len(want) {
			return
		}
		select {
		case fail <- readEveryWay(s, want):
		default:
		}
		close(done)
	}
	_, p := e.Pair(h, session.StreamOptions{})
	for _, part := range [][]byte{want[:33], want[33:]} { // so that some of it is kept between calls
		_, err := p.Write(part)
		require.NoError(e, err, "write")
		time.Sleep(time.Millisecond)
	}
	<-done
	require.NoError(e, <-fail, "reading")
}

func readEveryWay(s *session.Stream, want []byte) error {
	var b bytes.Buffer
	peeked, err := s.Peek(10)
	if err != nil || !bytes.Equal(peeked, want[:10]) || s.Buffered() != 100 {
		return errors.New("wrong: Peek(10)")
	}
	if all, err := s.Peek(-1); err != nil || !bytes.Equal(all, want) {
		return errors.New("wrong: Peek(-1)")
	}
	if all, err := s.Peek(101); err != io.ErrShortBuffer || !bytes.Equal(all, want) {
		return errors.New("wrong: Peek of more than there is")
	}
	next, err := s.Next(10)
	b.Write(next)
	if err != nil || s.Buffered() != 90 {
		return errors.New("wrong: Next(10)")
	}
	p := make([]byte, 20)
	if n, err := s.Read(p); n != 20 || err != nil {
		return errors.New("wrong: Read")
	}
	b.Write(p)
	if n, err := s.Discard(5); n != 5 || err != nil {
		return errors.New("wrong: Discard(5)")
	}
	b.Write(want[30:35])
	if n, err := s.WriteTo(&b); n != 65 || err != nil || s.Buffered() != 0 {
		return errors.New("wrong: WriteTo")
	}
	if !bytes.Equal(b.Bytes(), want) {
		return errors.New("the bytes differ")
	}
	if n, err := s.Read(p); n != 0 || err != session.ErrWouldBlock {
		return errors.New("wrong: Read of nothing")
	}
	if rest, err := s.Next(3); len(rest) != 0 || err != io.ErrShortBuffer {
		return errors.New("wrong: Next of more than there is")
	}
	return nil
}

// take gives buffers to another goroutine, which keeps them while more bytes come, and sends them back.
func take(e *Env) {
	h := NewHooks()
	taken := make(chan *session.Buffer, 1<<16)
	h.Data = func(s *session.Stream) {
		for s.Buffered() > 0 {
			n := min(s.Buffered(), 5000)
			b, err := s.Take(n)
			if err != nil || len(b.Bytes()) != n {
				h.e.Errorf("Take(%d): %v", n, err)
				return
			}
			taken <- b
		}
	}
	s, p := e.Pair(h, session.StreamOptions{})
	want := Pattern(300_000)
	go func() { _, _ = p.Write(want) }()
	var held []*session.Buffer
	for n := 0; n < len(want); {
		b := <-taken
		n += len(b.Bytes())
		held = append(held, b)
	}
	var got []byte
	for _, b := range held {
		got = append(got, b.Bytes()...)
	}
	require.True(e, bytes.Equal(got, want), "the bytes changed while they were kept")
	for i, b := range held {
		if i%2 == 0 {
			require.NoError(e, s.WriteBuffer(b), "WriteBuffer")
			continue
		}
		_, err := s.Write(b.Bytes())
		require.NoError(e, err, "write")
		b.Release()
		b.Release() // does nothing
	}
	require.True(e, bytes.Equal(e.ReadAll(p, len(want)), want), "the bytes that came back differ")
}

// pause pauses a stream again and again while its peer sends. No OnData begins in a pause, and another stream is not
// delayed.
func pause(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{})
	other := NewHooks()
	_, q := e.Pair(other, session.StreamOptions{})
	want := Pattern(100_000)
	var sent int
	for range 20 {
		s.PauseRead()
		calls := h.Count("OnData")
		if n := len(want) / 20; sent < len(want) {
			_, err := p.Write(want[sent : sent+n])
			require.NoError(e, err, "write")
			sent += n
		}
		before := other.Len()
		_, err := q.Write([]byte("not delayed"))
		require.NoError(e, err, "write")
		e.Eventually(func() bool { return other.Len() == before+11 }, "bytes of the other stream")
		require.LessOrEqual(e, h.Count("OnData"), calls+1, "calls of OnData during a pause; one may have been running")
		s.ResumeRead()
	}
	e.Eventually(func() bool { return h.Len() == len(want) }, "all bytes")
	require.True(e, bytes.Equal(h.Got(), want), "the bytes differ")
}

// pausedReset resets a stream that is paused. It learns of that.
func pausedReset(e *Env) {
	if e.Network == "unix" {
		e.Skip("Unix sockets have no reset")
	}
	h := NewHooks()
	h.Close = func(s *session.Stream, err error) { h.Collect(s) }
	s, p := e.Pair(h, session.StreamOptions{})
	s.PauseRead()
	_, err := p.Write(Pattern(1000))
	require.NoError(e, err, "write")
	time.Sleep(moment) // so that the bytes are there before the reset, whether they were handed over or not
	require.NoError(e, p.Reset(), "reset")
	err = h.Closed()
	require.ErrorIs(e, err, syscall.ECONNRESET, "the error of OnClose")
	assert.Zero(e, h.Count("OnData"), "OnData was called during a pause")
	assert.True(e, slices.Equal(h.Got(), Pattern(1000)), "%d bytes could be read in OnClose, not the 1000 that came before the reset", h.Len())
}

// boundedReading reads nothing while a peer sends much. The stream stops reading near ReadBufferLimit, and loses
// nothing.
func boundedReading(e *Env) {
	const limit = 200_000
	h := NewHooks()
	var buffered atomic.Int64
	h.Data = func(s *session.Stream) { buffered.Store(int64(s.Buffered())) } // reads nothing
	s, p := e.Pair(h, session.StreamOptions{ReadBufferLimit: limit})
	want := Pattern(20 << 20)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = p.Write(want) }()
	e.Eventually(func() bool { return buffered.Load() >= limit }, "the limit")
	time.Sleep(moment)
	// One turn brings 128 buffers of 16 KiB, and the last call had left some.
	assert.LessOrEqual(e, buffered.Load(), int64(limit+3<<20), "bytes buffered")
	select {
	case <-done:
		e.Error("the peer could send everything: nothing pushed back")
	default:
	}
	var got []byte
	read := func(s *session.Stream) {
		b, _ := s.Next(-1)
		got = append(got, b...)
	}
	require.NoError(e, s.Post(func() { h.Data = read; read(s) }), "post")
	all := make(chan bool)
	e.Eventually(func() bool {
		require.NoError(e, s.Post(func() { all <- len(got) == len(want) }), "post")
		return <-all
	}, "all bytes")
	require.True(e, bytes.Equal(got, want), "the bytes differ")
}
