package backendtest

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// The rules on messages: what session.Frames delivers, and when it stops.
var frameRules = []Rule{
	{"Frames_EverySplit", framesEverySplit},
	{"Frames_ByteByByte", framesByteByByte},
	{"Frames_LargerThanTheReadBuffer", framesLarge},
	{"Frames_Budget", framesBudget},
	{"Frames_Blocked", framesBlocked},
	{"Frames_Pause", framesPause},
	{"Frames_Stop", framesStop},
	{"Frames_SetHandler", framesSetHandler},
	{"Frames_Detach", framesDetach},
	{"Frames_Invalid", framesInvalid},
	{"Frames_InvalidAndMore", framesInvalidMore},
	{"Frames_Truncated", framesTruncated},
	{"Frames_LastMessage", framesLastMessage},
	{"Frames_Options", framesOptions},
	{"Frames_WriteWhole", framesWriteWhole},
	{"Frames_WriteFromAnywhere", framesWriteFromAnywhere},
	{"Frames_NoAllocation", framesNoAllocation},
}

// codec is what most rules speak.
var codec = frame.U64{MaxPayload: 1 << 20}

// inbound keeps the messages that come.
type inbound struct {
	mu  sync.Mutex // guards all
	all [][]byte
}

func (in *inbound) add(_ *session.Stream, m []byte) {
	in.mu.Lock()
	in.all = append(in.all, bytes.Clone(m))
	in.mu.Unlock()
}

func (in *inbound) len() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.all)
}

// same fails the rule if the messages are not these.
func (in *inbound) same(e *Env, want ...[]byte) {
	e.Helper()
	in.mu.Lock()
	defer in.mu.Unlock()
	require.Equal(e, len(want), len(in.all), "messages")
	for i := range want {
		require.True(e, bytes.Equal(in.all[i], want[i]), "message %d has %d bytes and differs from what was sent, of %d", i, len(in.all[i]), len(want[i]))
	}
}

// around has all callbacks of a FrameHandler go through Hooks.
func around[M any](f *session.FrameHandler[M]) *Hooks {
	h := NewHooks()
	h.Open, h.Data, h.EOF, h.Writable, h.Close = f.OnOpen, f.OnData, f.OnEOF, f.OnWritable, f.OnClose
	return h
}

// encoded are messages on the wire.
func encoded(e *Env, messages ...[]byte) (p []byte) {
	e.Helper()
	var err error
	for _, m := range messages {
		p, err = codec.Append(p, m)
		require.NoError(e, err, "encode")
	}
	return p
}

// sized are messages of these sizes.
func sized(sizes ...int) (all [][]byte) {
	for i, n := range sizes {
		all = append(all, Pattern(i + n)[i:])
	}
	return all
}

// framesEverySplit sends the same frames again and again in two pieces, cut at each place in turn.
func framesEverySplit(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	var got inbound
	_, p := e.adoptPair(t, around(session.Frames(codec, got.add)))
	want := sized(0, 1, 7, 8, 9, 100, 0)
	wire := encoded(e, want...)
	sent := uint64(0)
	send := func(b []byte) {
		sent += uint64(p.send(b))
		e.poll(func() bool { return t.Stats().BytesIn == sent }, "the bytes", t)
	}
	for cut := range len(wire) {
		got.all = nil
		send(wire[:cut])
		send(wire[cut:])
		e.poll(func() bool { return len(got.all) == len(want) }, "all messages", t)
		got.same(e, want...)
	}
}

// framesByteByByte sends messages one byte at a time. Each is delivered once, whole and in order.
func framesByteByByte(e *Env) {
	var got inbound
	_, p := e.Pair(around(session.Frames(codec, got.add)), session.StreamOptions{})
	want := sized(3, 0, 20, 1, 0)
	for _, b := range encoded(e, want...) {
		_, err := p.Write([]byte{b})
		require.NoError(e, err, "write")
	}
	e.Eventually(func() bool { return got.len() == len(want) }, "all messages")
	got.same(e, want...)
}

// framesLarge sends messages for which the stream has to read on above its limit, and small ones between.
func framesLarge(e *Env) {
	var got inbound
	_, p := e.Pair(around(session.Frames(codec, got.add)), session.StreamOptions{ReadBufferLimit: 4 << 10})
	want := sized(10, 300_000, 5000, 20, codec.MaxPayload, 1)
	go func() { _, _ = p.Write(encoded(e, want...)) }()
	e.Eventually(func() bool { return got.len() == len(want) }, "all messages")
	got.same(e, want...)
}

// framesBudget has one stream with much to deliver, and counts what one turn delivers.
func framesBudget(e *Env) {
	if !e.once() {
		return
	}
	const size, count, budget = 92, 2000, 1000
	t := e.driven(session.StreamOptions{TurnBudget: budget})
	n, most := 0, 0
	h := around(session.Frames(codec, func(*session.Stream, []byte) { n++ }))
	s, p := e.adoptPair(t, h)
	s.PauseRead()
	var wire []byte
	for range count {
		wire = append(wire, encoded(e, Pattern(size))...)
	}
	for rest := wire; len(rest) > 0; {
		rest = rest[p.send(rest):]
		_, err := t.Poll(0)
		require.NoError(e, err, "poll")
		s.ResumeRead()
		for range 10 {
			before := n
			_, err := t.Poll(0)
			require.NoError(e, err, "poll")
			most = max(most, n-before)
		}
		s.PauseRead()
	}
	s.ResumeRead()
	e.poll(func() bool { return n == count }, "all messages", t)
	limit := budget/(size+8) + 1
	assert.LessOrEqual(e, most, limit, "messages delivered in one turn")
}

// framesBlocked has a peer that asks and asks, and reads no answer at first.
func framesBlocked(e *Env) {
	const size, count, high = 8 << 10, 400, 64 << 10
	most := 0
	answer := Pattern(size)
	h := around(session.Frames(codec, func(s *session.Stream, m []byte) {
		most = max(most, s.Queued())
		assert.NoError(e, session.WriteFrame(s, codec, answer))
	}))
	limits := session.StreamOptions{HighWater: high, LowWater: high / 2, WriteBufferLimit: high + 2*size}
	_, p := e.Pair(h, limits)
	var wire []byte
	for range count {
		wire = append(wire, encoded(e, nil)...)
	}
	_, err := p.Write(wire)
	require.NoError(e, err, "write")
	for i := range count {
		require.True(e, bytes.Equal(e.ReadAll(p, 8+size)[8:], answer), "answer %d differs", i)
	}
	require.NoError(e, p.CloseWrite(), "close for writing")
	h.Closed()
	assert.LessOrEqual(e, most, high+size+8, "bytes queued when a message came")
}

// framesPause pauses in each message.
func framesPause(e *Env) {
	var got inbound
	h := around(session.Frames(codec, func(s *session.Stream, m []byte) {
		got.add(s, m)
		s.PauseRead()
	}))
	s, p := e.Pair(h, session.StreamOptions{})
	want := sized(1, 2, 3, 4, 5)
	_, err := p.Write(encoded(e, want...))
	require.NoError(e, err, "write")
	require.NoError(e, p.CloseWrite(), "close for writing")
	for i := range want {
		e.Eventually(func() bool { return got.len() > i }, "message %d", i)
		e.turnLater(s, func() {
			n := got.len()
			assert.Equal(e, i+1, n, "messages of a stream that was paused in each and resumed %d times", i)
			assert.Zero(e, h.Count("OnEOF"), "OnEOF although message %d waits, or the stream is paused", i)
		})
		s.ResumeRead()
	}
	h.Closed()
	got.same(e, want...)
	assert.Equal(e, 1, h.Count("OnEOF"), "no OnEOF")
}

// turnLater runs fn on the stream's loop, a turn later at least, and waits for it.
func (e *Env) turnLater(s *session.Stream, fn func()) {
	e.Helper()
	done := make(chan struct{})
	require.NoError(e, s.Post(func() { s.After(0, func() { fn(); close(done) }) }), "post")
	<-done
}

// framesStop ends the stream in the second of four messages.
func framesStop(e *Env) {
	for what, c := range map[string]struct {
		end  func(*session.Stream)
		want func(error) bool
	}{
		"Close": {func(s *session.Stream) { _ = s.Close() }, func(err error) bool { return err == nil }},
		"Abort": {func(s *session.Stream) { _ = s.Abort() }, func(err error) bool { return err != nil }},
		"panic": {func(*session.Stream) { panic("on purpose") }, func(err error) bool {
			var p *session.PanicError
			return errors.As(err, &p)
		}},
	} {
		e.Scenario(what, func() {
			var got inbound
			h := around(session.Frames(codec, func(s *session.Stream, m []byte) {
				got.add(s, m)
				if len(m) == 2 {
					c.end(s)
				}
			}))
			_, p := e.Pair(h, session.StreamOptions{})
			want := sized(1, 2, 3, 4)
			_, err := p.Write(encoded(e, want...))
			require.NoError(e, err, "write")
			err = h.Closed()
			assert.True(e, c.want(err), "%s: the error of OnClose", what)
			got.same(e, want[:2]...)
		})
	}
}

// rest collects bytes for Hooks whose stream has changed its handler.
type rest struct {
	session.BaseHandler
	h *Hooks
}

func (r rest) OnData(s *session.Stream)             { r.h.Collect(s) }
func (r rest) OnClose(s *session.Stream, err error) { r.h.OnClose(s, err) }

// framesSetHandler changes from frames to lines, and to bytes, all of which are there at once.
func framesSetHandler(e *Env) {
	var framed, lined inbound
	h := NewHooks()
	second := session.Frames(frame.Line{}, func(s *session.Stream, m []byte) {
		lined.add(s, m)
		if string(m) == "bytes" {
			s.SetHandler(rest{h: h})
		}
	})
	first := session.Frames(codec, func(s *session.Stream, m []byte) {
		framed.add(s, m)
		if string(m) == "lines" {
			s.SetHandler(second)
		}
	})
	h.Open = func(s *session.Stream) { s.SetHandler(first) }
	_, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write(append(encoded(e, []byte("one"), []byte("lines")), "two\nbytes\nthree"...))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "the bytes behind the last line")
	framed.same(e, []byte("one"), []byte("lines"))
	lined.same(e, []byte("two"), []byte("bytes"))
	got := string(h.Got())
	assert.Equal(e, "three", got, "bytes that the last handler got")
	require.NoError(e, p.CloseWrite(), "close for writing")
	h.Closed()
}

// framesDetach takes the connection away in the second message.
func framesDetach(e *Env) {
	conns := make(chan io.ReadWriteCloser, 1)
	h := around(session.Frames(codec, func(s *session.Stream, m []byte) {
		if len(m) == 2 {
			c, err := s.Detach()
			assert.NoError(e, err)
			conns <- c
		}
		assert.LessOrEqual(e, len(m), 2, "a message after Detach")
	}))
	_, p := e.Pair(h, session.StreamOptions{})
	want := sized(1, 2, 3)
	_, err := p.Write(encoded(e, want...))
	require.NoError(e, err, "write")
	c := <-conns
	e.Cleanup(func() { _ = c.Close() })
	rest := make([]byte, 8+3)
	_, err = io.ReadFull(c, rest)
	assert.NoError(e, err, "the Conn has %x behind the message", rest)
	assert.True(e, bytes.Equal(rest, encoded(e, want[2])), "the Conn has %x behind the message, %v", rest, err)
	h.Closed()
}

// asFrameError checks that err is a *frame.Error of a kind at a place. Any goroutine.
func (e *Env) asFrameError(err error, kind error, offset int64) {
	e.Helper()
	var f *frame.Error
	if assert.ErrorAs(e, err, &f) {
		assert.ErrorIs(e, err, kind)
		assert.Equal(e, offset, f.Offset, "the offset of %v", err)
	}
}

// framesInvalid sends two messages and one that is too long, and expects all three answers.
func framesInvalid(e *Env) {
	f := session.Frames(codec, func(s *session.Stream, m []byte) { assert.NoError(e, session.WriteFrame(s, codec, m)) })
	f.Invalid = func(s *session.Stream, err *frame.Error) {
		e.asFrameError(err, frame.ErrTooLarge, 30)
		assert.NoError(e, session.WriteFrame(s, codec, []byte("wrong")))
	}
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{})
	good := encoded(e, Pattern(10), Pattern(4))
	_, err := p.Write(append(bytes.Clone(good), "\xff\xff\xff\xff\xff\xff\xff\xff and more"...))
	require.NoError(e, err, "write")
	want := append(good, encoded(e, []byte("wrong"))...)
	got := e.ReadAll(p, len(want))
	assert.True(e, bytes.Equal(got, want), "the peer got %q", got)
	n, err := p.Read(make([]byte, 1))
	assert.Zero(e, n, "what the peer got behind the answers")
	assert.Equal(e, io.EOF, err, "what the peer got behind the answers")
	e.asFrameError(h.Closed(), frame.ErrTooLarge, 30)
	assert.Zero(e, h.Count("OnEOF"), "OnEOF after wrong bytes")
}
