package backendtest

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// The rest of the rules on messages: ends of streams, the further functions of a FrameHandler, and WriteFrame.

// framesInvalidMore has bytes behind the wrong ones that the stream has not received: they must not cause a reset,
// which might take the answer with it.
func framesInvalidMore(e *Env) {
	f := session.Frames(codec, func(*session.Stream, []byte) {})
	f.Open = func(s *session.Stream) { s.PauseRead() }
	f.Invalid = func(s *session.Stream, _ *frame.Error) {
		assert.NoError(e, session.WriteFrame(s, codec, []byte("wrong")))
	}
	h := around(f)
	s, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write(bytes.Repeat([]byte{0xff}, 8))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return e.buffered(s) > 0 }, "bytes that wait in the pause")
	_, err = p.Write(make([]byte, 10_000))
	require.NoError(e, err, "write")
	s.ResumeRead()
	want := encoded(e, []byte("wrong"))
	got := e.ReadAll(p, len(want))
	assert.True(e, bytes.Equal(got, want), "the peer got %q", got)
	n, err := p.Read(make([]byte, 1))
	assert.Zero(e, n, "what the peer got behind the answer")
	assert.Equal(e, io.EOF, err, "what the peer got behind the answer")
	e.asFrameError(h.Closed(), frame.ErrTooLarge, 0)
}

// framesTruncated ends within a header, within a payload, and between two frames.
func framesTruncated(e *Env) {
	for _, half := range []bool{false, true} {
		for cut, want := range map[int]error{3: io.ErrUnexpectedEOF, 12: io.ErrUnexpectedEOF, 18: nil, 20: io.ErrUnexpectedEOF} {
			var got inbound
			ends := 0
			f := session.Frames(codec, got.add)
			f.EOF = func(s *session.Stream) {
				ends++
				_ = s.Close()
			}
			h := around(f)
			_, p := e.Pair(h, session.StreamOptions{AllowHalfClose: half})
			_, err := p.Write(encoded(e, sized(10, 10)...)[:cut])
			require.NoError(e, err, "write")
			require.NoError(e, p.CloseWrite(), "close for writing")
			err = h.Closed()
			if want != nil {
				e.asFrameError(err, want, int64(cut))
			} else if err != nil {
				e.Errorf("OnClose(%v) at the end of a frame", err)
			}
			assert.Equal(e, (want == nil), (ends == 1), "EOF was called %d times after %d bytes", ends, cut)
			n := got.len()
			assert.Equal(e, cut/18, n, "messages in %d bytes", cut)
		}
	}
}

// framesLastMessage has a last line without an end, in which the stream is paused, closed, or given to another handler.
func framesLastMessage(e *Env) {
	var got []string // of the loop, and read after OnClose
	var h *Hooks
	other := session.Frames(frame.Line{}, func(*session.Stream, []byte) { e.Error("a message behind the last one") })
	other.EOF = func(*session.Stream) { got = append(got, "EOF of the other") }
	other.Close = func(s *session.Stream, err error) { h.OnClose(s, err) }
	f := session.Frames(frame.Line{}, func(s *session.Stream, m []byte) {
		switch got = append(got, string(m)); string(m) {
		case "pause":
			s.PauseRead()
			s.After(0, func() {
				got = append(got, "resume")
				s.ResumeRead()
			})
		case "close":
			_ = s.Close()
		case "change":
			s.SetHandler(other)
		}
	})
	f.EOF = func(*session.Stream) { got = append(got, "EOF") }
	for last, want := range map[string][]string{
		"":       {"one", "EOF"},
		"two":    {"one", "two", "EOF"},
		"pause":  {"one", "pause", "resume", "EOF"},
		"close":  {"one", "close"},
		"change": {"one", "change", "EOF of the other"},
	} {
		got = nil
		h = around(f)
		_, p := e.Pair(h, session.StreamOptions{})
		_, err := p.Write([]byte("one\n" + last))
		require.NoError(e, err, "write")
		require.NoError(e, p.CloseWrite(), "close for writing")
		err = h.Closed()
		assert.NoError(e, err, "%q: the error of OnClose", last)
		assert.True(e, slices.Equal(got, want), "%q: %q, not %q", last, got, want)
	}
}

// framesOptions has every function called that a FrameHandler has.
func framesOptions(e *Env) {
	var calls []string // of the loop, and read after OnClose
	note := func(what string) func(*session.Stream) {
		return func(*session.Stream) { calls = append(calls, what) }
	}
	f := session.Frames(codec, func(s *session.Stream, m []byte) {
		note("Message")(s)
		assert.NoError(e, session.WriteFrame(s, codec, Pattern(codec.MaxPayload))) // above HighWater, and again below
	})
	f.Open, f.EOF, f.Writable = note("Open"), note("EOF"), note("Writable")
	f.Close = func(s *session.Stream, err error) { note("Close")(s) }
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{HighWater: 1 << 10})
	_, err := p.Write(encoded(e, []byte("x")))
	require.NoError(e, err, "write")
	e.ReadAll(p, 8+codec.MaxPayload)
	e.Eventually(func() bool { return h.Count("OnWritable") == 1 }, "OnWritable")
	require.NoError(e, p.CloseWrite(), "close for writing")
	h.Closed()
	want := []string{"Open", "Message", "Writable", "EOF", "Close"}
	assert.True(e, slices.Equal(calls, want), "calls")

	// A shutdown asks Drain, or closes.
	t := e.Open(nil)
	drained := session.Frames(codec, func(*session.Stream, []byte) {})
	drained.Drain = func(s *session.Stream) {
		assert.NoError(e, session.WriteFrame(s, codec, []byte("bye")))
		_ = s.Close()
	}
	with, without := NewHooks(), NewHooks()
	drained.Close = with.OnClose
	with.Open = func(s *session.Stream) { s.SetHandler(drained) }
	closed := session.Frames(codec, func(*session.Stream, []byte) {})
	closed.Close = without.OnClose
	without.Open = func(s *session.Stream) { s.SetHandler(closed) }
	_, p = e.PairOn(t, with, session.StreamOptions{})
	_, q := e.PairOn(t, without, session.StreamOptions{})
	require.NoError(e, t.Shutdown(e.patient()), "shutdown")
	assert.Equal(e, encoded(e, []byte("bye")), e.ReadAll(p, 11), "bytes that Drain wrote")
	for _, peer := range []Peer{p, q} {
		n, err := peer.Read(make([]byte, 1))
		assert.Zero(e, n, "bytes that the peer got after the shutdown")
		assert.Equal(e, io.EOF, err, "Read of the peer after the shutdown")
	}
}

// framesWriteWhole fills the queue, and checks whether frames were taken whole or not at all.
func framesWriteWhole(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{WriteBufferLimit: 300 << 10})
	assert.Error(e, session.WriteFrame(s, codec, Pattern(codec.MaxPayload+1)), "a payload above the codec's limit was taken")
	m := Pattern(50_000)
	taken, full := 0, false
	for ; !full; taken++ {
		err := session.WriteFrame(s, codec, m)
		if full = errors.Is(err, session.ErrWriteBufferFull); full {
			break
		}
		require.NoError(e, err, "write")
	}
	n := s.Queued()
	assert.LessOrEqual(e, n, 300<<10, "bytes queued, and WriteBufferLimit")
	for range taken {
		require.True(e, bytes.Equal(e.ReadAll(p, 8+len(m)), encoded(e, m)), "a frame differs")
	}
	require.NoError(e, s.Close(), "close")
	n, err := p.Read(make([]byte, 1))
	assert.Zero(e, n, "bytes behind the frames")
	assert.Equal(e, io.EOF, err, "behind the frames")
	assert.Error(e, session.WriteFrame(s, codec, m), "a frame was taken after Close")
	h.Closed()
}

// framesWriteFromAnywhere has several goroutines and the loop write frames at the same time.
func framesWriteFromAnywhere(e *Env) {
	const writers, each = 4, 200
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{})
	var all sync.WaitGroup
	write := func(id byte) {
		for i := range each {
			m := bytes.Repeat([]byte{id}, 1+i*7)
			assert.NoError(e, session.WriteFrame(s, codec, m))
		}
	}
	for id := range writers - 1 {
		all.Go(func() { write(byte(id)) })
	}
	require.NoError(e, s.Post(func() { write(writers - 1) }), "post")
	next := [writers]int{}
	for range writers * each {
		head := e.ReadAll(p, 8)
		m := e.ReadAll(p, int(head[0])|int(head[1])<<8)
		id := m[0]
		require.False(e, len(m) != 1+next[id]*7 || bytes.Count(m, m[:1]) != len(m), "frame %d of writer %d has %d bytes, or is mixed with others", next[id], id, len(m))
		next[id]++
	}
	all.Wait()
}

// framesNoAllocation counts all that the process allocates while messages are answered.
func framesNoAllocation(e *Env) {
	if e.Peers != nil {
		return // peers that are streams gather bytes in memory that they allocate
	}
	for _, size := range []int{0, 64, 1 << 10, 40 << 10} { // larger ones are sent in pieces, whose vector the race detector has allocated anew
		f := session.Frames(codec, func(s *session.Stream, m []byte) { _ = session.WriteFrame(s, codec, m) })
		h := NewHooks()
		f.Close = h.OnClose
		h.Open = func(s *session.Stream) { s.SetHandler(f) }
		_, p := e.Pair(h, session.StreamOptions{})
		message := encoded(e, Pattern(size))
		answer := make([]byte, len(message))
		exchange := func(n int) {
			for range n {
				_, err := p.Write(message)
				assert.NoError(e, err)
				_, err = io.ReadFull(p, answer)
				require.NoError(e, err, "read")
			}
		}
		exchange(100)
		n := steady(func() { exchange(200) })
		assert.Zero(e, n, "allocations for 200 messages of %d bytes", size)
		require.NoError(e, p.Close(), "close")
	}
}
