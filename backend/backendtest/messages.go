package backendtest

import (
	"bytes"
	"math"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// Rules on messages where two things meet: a message that is lent and what its handler does meanwhile, wrong bytes and a
// peer that sends on, a failed stream and a handler that stops.
var messageRules = []Rule{
	{"Frames_MessageStaysAsItIs", messageStays},
	{"Frames_MessageInAMessage", messageInMessage},
	{"Frames_TakenBytesEndWhereTheyEnd", takenEnds},
	{"Frames_InvalidClosesInStages", invalidInStages},
	{"Frames_InvalidOnce", invalidOnce},
	{"Frames_NothingBehindAStop", nothingBehindAStop},
	{"Frames_MaxSize", maxSize},
	{"Frames_IncompleteHandlers", incompleteHandlers},
}

// lent is what a handler of a message may use.
type lent struct {
	s, other *session.Stream // other lives on the same loop
	h        *Hooks          // of s
	e        *Env
}

// meanwhile is what a handler may do while it uses its message.
var meanwhile = map[string]func(l lent){
	"Take, Release": func(l lent) { l.take(-1).Release() },
	"Take, change, Release": func(l lent) {
		b := l.take(-1)
		for i := range b.Bytes() {
			b.Bytes()[i] ^= 0xff
		}
		b.Release()
	},
	"Take in parts": func(l lent) {
		first, second := l.take(l.s.Buffered()/2), l.take(-1)
		second.Release()
		first.Release()
	},
	"Take, WriteBuffer": func(l lent) {
		assert.NoError(l.e, l.other.WriteBuffer(l.take(-1)))
		assert.NoError(l.e, l.other.Flush())
	},
	"Take, Detach": func(l lent) {
		l.take(-1).Release()
		l.detach()
	},
	"Next": func(l lent) {
		_, err := l.s.Next(-1)
		assert.NoError(l.e, err)
	},
	"Discard": func(l lent) {
		_, err := l.s.Discard(-1)
		assert.NoError(l.e, err)
	},
	"Read": func(l lent) {
		_, err := l.s.Read(make([]byte, 1<<20))
		assert.NoError(l.e, err)
	},
	"WriteTo": func(l lent) {
		_, err := l.s.WriteTo(l.other)
		assert.NoError(l.e, err)
	},
	"Detach":     func(l lent) { l.detach() },
	"SetHandler": func(l lent) { l.s.SetHandler(rest{h: l.h}) },
	"Close":      func(l lent) { assert.NoError(l.e, l.s.Close()) },
	"Abort":      func(l lent) { assert.NoError(l.e, l.s.Abort()) },
	"Take, Abort": func(l lent) {
		l.take(-1).Release()
		assert.NoError(l.e, l.s.Abort())
	},
}

func (l lent) take(n int) *session.Buffer {
	b, err := l.s.Take(n)
	assert.NoError(l.e, err)
	return b
}

func (l lent) detach() {
	c, err := l.s.Detach()
	assert.NoError(l.e, err)
	assert.NoError(l.e, c.Close())
}

// spoil has all memory that the loop has free written to.
func (l lent) spoil() {
	for size := 512; size <= 64<<10; size *= 2 {
		_, err := l.other.Write(bytes.Repeat([]byte{0xdd}, size))
		assert.NoError(l.e, err)
	}
}

// messageStays looks at a message before and after all that a handler may do meanwhile: at one that has come in one piece
// with what is behind it, and is in the driver's memory, and at one that has come in two, and is in the stream's.
func messageStays(e *Env) {
	want := Pattern(5000)
	behind := Pattern(20_000)
	for name, do := range meanwhile {
		for _, pieces := range []int{1, 2} {
			t := e.oneLoop()
			sink := NewHooks()
			other, _ := e.PairOn(t, sink, session.StreamOptions{})
			done := make(chan struct{})
			var h *Hooks
			h = around(session.Frames(codec, func(s *session.Stream, m []byte) {
				if s.Value() != nil {
					return
				}
				s.SetValue(true)
				if s.Buffered() > 0 { // else what is behind has not come yet, and nothing can go wrong
					do(lent{s, other, h, e})
				}
				lent{s, other, h, e}.spoil()
				assert.True(e, bytes.Equal(want, m), "%s: the message in %d pieces has changed in its handler", name, pieces)
				close(done)
			}))
			_, p := e.PairOn(t, h, session.StreamOptions{})
			wire := append(encoded(e, want), behind...)
			if pieces == 2 {
				e.sendPart(t, p, wire[:3000])
				wire = wire[3000:]
			}
			_, err := p.Write(wire)
			if !e.TLS { // which has several writes of it, and the end may come between two
				require.NoError(e, err)
			}
			require.True(e, await(done), "%s: the message in %d pieces never came", name, pieces)
			assert.NoError(e, other.Abort())
			require.NoError(e, t.Close())
		}
	}
}

// sendPart sends bytes and waits until a Transport has received them.
func (e *Env) sendPart(t *session.Engine, p Peer, b []byte) {
	e.Helper()
	before := t.Stats().BytesIn
	_, err := p.Write(b)
	require.NoError(e, err)
	e.Eventually(func() bool { return t.Stats().BytesIn >= before+uint64(len(b)) }, "%d bytes of a message", len(b))
}

// messageInMessage has a handler pass what is behind its message to another one, which is lent a message of its own. The
// first one stays, also behind that.
func messageInMessage(e *Env) {
	want, inner := Pattern(5000), []byte("inner")
	t := e.oneLoop()
	other, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	done, heard := make(chan struct{}), 0
	second := session.Frames(frame.Line{}, func(_ *session.Stream, m []byte) {
		heard++
		assert.Equal(e, inner, m)
	})
	h := around(session.Frames(codec, func(s *session.Stream, m []byte) {
		defer close(done)
		second.OnData(s)
		l := lent{s: s, other: other, e: e}
		l.take(-1).Release()
		l.spoil()
		assert.True(e, bytes.Equal(want, m), "the message has changed in its handler")
	}))
	s, p := e.PairOn(t, h, session.StreamOptions{})
	s.PauseRead()
	wire := append(append(encoded(e, want), "inner\n"...), bytes.Repeat([]byte{'x'}, 9000)...)
	_, err := p.Write(wire)
	require.NoError(e, err)
	e.Eventually(func() bool { return t.Stats().BytesIn > 0 }, "bytes of the message")
	s.ResumeRead()
	require.True(e, await(done), "the message never came")
	assert.LessOrEqual(e, heard, 1)
	assert.NoError(e, other.Abort())
	assert.NoError(e, s.Abort())
}

// takenEnds appends to bytes that were taken, which must not reach into those behind them.
func takenEnds(e *Env) {
	want := Pattern(60_000)
	for _, pieces := range []int{1, 2} {
		t := e.oneLoop()
		var got []byte
		read := func(s *session.Stream) {
			for s.Buffered() > 0 {
				b, err := s.Take(min(5000, s.Buffered()))
				assert.NoError(e, err)
				got = append(got, b.Bytes()...)
				_ = append(b.Bytes(), "behind the end"...)
				b.Release()
				p, err := s.Next(min(50, s.Buffered()))
				assert.NoError(e, err)
				got = append(got, p...)
				_ = append(p, "behind the end"...)
			}
		}
		h := NewHooks()
		h.EOF = read
		h.Data = func(s *session.Stream) {
			if pieces == 1 || s.Buffered() > 20_000 { // in the stream's memory, if it has come in several pieces
				read(s)
			}
		}
		_, p := e.PairOn(t, h, session.StreamOptions{})
		_, err := p.Write(want)
		require.NoError(e, err)
		require.NoError(e, p.CloseWrite())
		h.closedWith(nil)
		assert.True(e, bytes.Equal(want, got), "an append to taken bytes has changed others")
	}
}

// invalidInStages answers wrong bytes while the peer goes on sending. It can send everything, and read the answer,
// whatever Invalid does besides.
func invalidInStages(e *Env) {
	for name, end := range map[string]func(*session.Stream) error{
		"nothing": nil, "Close": (*session.Stream).Close, "CloseWrite": (*session.Stream).CloseWrite,
	} {
		e.Scenario(name, func() {
			f := session.Frames(codec, func(*session.Stream, []byte) { e.Error("a message behind wrong bytes") })
			f.Invalid = func(s *session.Stream, _ *frame.Error) {
				_, err := s.Write([]byte("wrong"))
				assert.NoError(e, err)
				if end != nil {
					assert.NoError(e, end(s))
				}
			}
			h := around(f)
			_, p := e.Pair(h, session.StreamOptions{})
			answer := readOn(p)
			for range 64 {
				_, err := p.Write(bytes.Repeat([]byte{0xff}, 64<<10))
				require.NoError(e, err, "the connection was reset while the peer sent; Invalid calls %q", name)
			}
			require.NoError(e, p.CloseWrite())
			answer.gotAll(e, []byte("wrong"))
			e.asFrameError(h.Closed(), frame.ErrTooLarge, 0)
		})
	}
}

// invalidOnce has wrong bytes among those that a failed stream still delivers.
func invalidOnce(e *Env) {
	wire := encoded(e, sized(10, 20, 30)...)
	wire = append(wire, bytes.Repeat([]byte{0xff}, held-len(wire))...)
	for how, writes := range learns {
		var got inbound
		wrong := 0
		f := session.Frames(codec, got.add)
		f.Invalid = func(s *session.Stream, err *frame.Error) {
			wrong++
			e.asFrameError(err, frame.ErrTooLarge, 84)
		}
		h := around(f)
		e.failing(e.Under(), h, session.StreamOptions{TurnBudget: 4 << 10}, wire, writes)
		h.Closed()
		got.same(e, sized(10, 20, 30)...)
		assert.Equal(e, 1, wrong, "%s: calls of Invalid", how)
	}
}

// nothingBehindAStop stops in the second message of a stream that has failed. There is no third one.
func nothingBehindAStop(e *Env) {
	wire := bytes.Repeat(encoded(e, Pattern(1000)), held/1008)
	for how, writes := range learns {
		e.stopInHandler(how, writes, wire)
		for name, stop := range map[string]func(*session.Stream){
			"Close":     func(s *session.Stream) { assert.NoError(e, s.Close()) },
			"Abort":     func(s *session.Stream) { assert.NoError(e, s.Abort()) },
			"PauseRead": (*session.Stream).PauseRead,
			"panic":     func(*session.Stream) { panic("on purpose") },
		} {
			n := 0
			h := around(session.Frames(codec, func(s *session.Stream, _ []byte) {
				if n++; n == 2 {
					stop(s)
				}
			}))
			e.failing(e.Under(), h, session.StreamOptions{TurnBudget: 4 << 10}, wire, writes)
			h.Closed()
			assert.Equal(e, 2, n, "%s: messages, with %s in the second", how, name)
		}
	}
}

// stopInHandler is nothingBehindAStop for SetHandler: what is behind the message is the next handler's.
func (e *Env) stopInHandler(how string, writes bool, wire []byte) {
	e.Helper()
	n := 0
	h := NewHooks()
	first := session.Frames(codec, func(s *session.Stream, _ []byte) {
		if n++; n == 2 {
			s.SetHandler(rest{h: h})
		}
	})
	h.Data = func(s *session.Stream) { s.SetHandler(first) }
	e.failing(e.Under(), h, session.StreamOptions{}, wire, writes)
	h.Closed()
	assert.Equal(e, 2, n, "%s: messages, with SetHandler in the second", how)
	assert.True(e, bytes.Equal(wire[2*1008:], h.Got()), "%s: %d bytes for the next handler", how, h.Len())
}

// boundless is a codec that leaves its limit to its caller.
type boundless struct{ frame.U64 }

func (boundless) MaxSize() int { return 1000 }

// maxSize sends what is as large as a codec allows, and one byte more, with codecs that do not look at that themselves.
func maxSize(e *Env) {
	for size, ok := range map[int]bool{1000 - 8: true, 1000 - 7: false, 1 << 30: false} {
		var got inbound
		h := around(session.Frames(boundless{frame.U64{MaxPayload: math.MaxInt}}, got.add))
		_, p := e.Pair(h, session.StreamOptions{})
		head := []byte{byte(size), byte(size >> 8), byte(size >> 16), byte(size >> 24), 0, 0, 0, 0}
		_, err := p.Write(head)
		require.NoError(e, err)
		if !ok {
			e.asFrameError(h.Closed(), frame.ErrTooLarge, 0)
			continue
		}
		_, err = p.Write(Pattern(size))
		require.NoError(e, err)
		e.Eventually(func() bool { return got.len() == 1 }, "a message of %d bytes", size)
		got.same(e, Pattern(size))
	}
}

// incompleteHandlers are refused where they are given, and change nothing.
func incompleteHandlers(e *Env) {
	fn := func(*session.Stream, []byte) {}
	type embeds struct{ *session.FrameHandler[[]byte] }
	for name, bad := range map[string]session.Handler{
		"nil":                   nil,
		"no codec":              session.Frames(nil, fn),
		"no function":           session.Frames[[]byte](codec, nil),
		"neither":               &session.FrameHandler[[]byte]{},
		"a nil FrameHandler":    (*session.FrameHandler[[]byte])(nil),
		"embedded, no codec":    embeds{session.Frames(nil, fn)},
		"embeds nil":            embeds{},
		"a time less than 0":    &session.FrameHandler[[]byte]{Codec: codec, Message: fn, MessageTimeout: -1},
		"a pointer to no codec": &embeds{session.Frames(nil, fn)},
	} {
		_, err := e.Under().Listen(e.Network, e.Address(), bad, nil)
		assert.Error(e, err, "Listen with %s", name)
		_, err = e.Under().Connect(e.Network, "127.0.0.1:1", bad, nil)
		assert.Error(e, err, "Connect with %s", name)
		_, err = e.Under().Dial(e.patient(), e.Network, "127.0.0.1:1", bad, nil)
		assert.Error(e, err, "Dial with %s", name)
		one, two, err := socketPair()
		require.NoError(e, err)
		_, err = e.Under().Adopt(one, bad)
		assert.Error(e, err, "Adopt with %s", name)
		_, err = one.Write([]byte("x"))
		assert.NoError(e, err, "a connection that Adopt refused is its owner's still")
		require.NoError(e, one.Close())
		require.NoError(e, two.Close())

		h := NewHooks()
		h.Open = func(s *session.Stream) { assert.Panics(e, func() { s.SetHandler(bad) }, "SetHandler with %s", name) }
		_, p := e.Pair(h, session.StreamOptions{})
		_, err = p.Write([]byte("still the same"))
		require.NoError(e, err)
		require.NoError(e, p.CloseWrite())
		h.closedWith(nil)
		assert.Equal(e, "still the same", string(h.Got()), "behind SetHandler with %s", name)
	}
}
