package backendtest

import (
	"bytes"
	"io"
	"os"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// Rules on MessageTimeout. They ask for what must not come too early, and for what must come at all.
var messageTimeRules = []Rule{
	{"Frames_TimeoutDrip", timeoutDrip},
	{"Frames_TimeoutSparesWholeMessages", timeoutSpares},
	{"Frames_TimeoutAnswersFirst", timeoutAnswers},
	{"Frames_TimeoutEndsAFlood", timeoutFlood},
	{"Frames_TimeoutAndPause", timeoutPause},
	{"Frames_TimeoutAndFullQueue", timeoutBlocked},
	{"Frames_TimeoutAndBusyLoop", timeoutBusy},
	{"Frames_TimeoutOfAnotherHandler", timeoutChange},
	{"Frames_TimeoutAndLastMessage", timeoutLast},
	{"Frames_TimeoutFreesMemory", timeoutMemory},
	{"Frames_TimeoutSleeps", timeoutSleeps},
}

// timed is a handler whose messages must be whole in time. It keeps them.
func timed(limit time.Duration) (*session.FrameHandler[[]byte], *inbound) {
	var got inbound
	f := session.Frames(codec, got.add)
	f.MessageTimeout = limit
	return f, &got
}

// timeoutDrip feeds a frame byte by byte, each of them well within the time.
func timeoutDrip(e *Env) {
	const limit = 100 * time.Millisecond
	f, got := timed(limit)
	f.Invalid = func(*session.Stream, *frame.Error) { e.Error("Invalid, because of a message that is late") }
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{})
	wire := encoded(e, Pattern(10_000))
	begin := time.Now()
	go func() {
		for i := range wire {
			if _, err := p.Write(wire[i : i+1]); err != nil {
				return
			}
			time.Sleep(limit / 10) // the pace of the peer
		}
	}()
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
	took := time.Since(begin)
	assert.GreaterOrEqual(e, took, limit)
	assert.Less(e, took, limit+1500*time.Millisecond, "the last stage is short for a peer that has had its time")
	assert.Zero(e, h.Count("OnEOF"))
	assert.Zero(e, got.len(), "messages")
}

// timeoutSpares sends whole messages, with more than the time between them.
func timeoutSpares(e *Env) {
	const limit = 100 * time.Millisecond
	f, got := timed(limit)
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{})
	want := sized(10, 1000)
	for i, m := range want {
		_, err := p.Write(encoded(e, m))
		require.NoError(e, err)
		e.Eventually(func() bool { return got.len() == i+1 }, "message %d", i)
		time.Sleep(2 * limit) // no message has begun
	}
	got.same(e, want...)
	require.NoError(e, p.CloseWrite())
	h.closedWith(nil)
}

// timeoutAnswers has a late message behind one that is answered. The peer gets the answer, and then the end.
func timeoutAnswers(e *Env) {
	answer := Pattern(300_000)
	f := session.Frames(codec, func(s *session.Stream, _ []byte) { assert.NoError(e, session.WriteFrame(s, codec, answer)) })
	f.MessageTimeout = 50 * time.Millisecond
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{HighWater: 1 << 20})
	_, err := p.Write(append(encoded(e, []byte("ask")), 1, 0, 0))
	require.NoError(e, err)
	got := e.ReadAll(p, 8+len(answer))
	assert.True(e, bytes.Equal(encoded(e, answer), got), "the answer differs")
	n, err := p.Read(make([]byte, 1))
	assert.Zero(e, n)
	assert.Equal(e, io.EOF, err, "behind the answer")
	require.NoError(e, p.Close())
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
}

// timeoutFlood has a peer that is late, and then sends as fast as it can.
func timeoutFlood(e *Env) {
	f, got := timed(50 * time.Millisecond)
	h := around(f)
	_, p := e.Pair(h, session.StreamOptions{})
	_, err := p.Write([]byte{0, 0, 0})
	require.NoError(e, err)
	_, err = p.Read(make([]byte, 1))
	require.Equal(e, io.EOF, err, "the end, for the peer")
	flood := append(make([]byte, 5), bytes.Repeat(encoded(e, Pattern(100)), 1000)...)
	go func() {
		for err := error(nil); err == nil; {
			_, err = p.Write(flood)
		}
	}()
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
	assert.Zero(e, got.len(), "messages behind the end")
}

// halfWay sends a part of a message, waits until the stream has looked at it, and calls stop on the loop. It does that
// again with another stream if the machine is too slow to be in time.
func (e *Env) halfWay(h *Hooks, limit time.Duration, stop func(*session.Stream, Peer)) (*session.Stream, Peer) {
	e.Helper()
	for range 20 {
		s, p := e.Pair(h, session.StreamOptions{})
		begin, n, stopped := time.Now(), 0, false
		_, err := p.Write(encoded(e, Pattern(1000))[:50])
		require.NoError(e, err)
		e.Eventually(func() bool {
			done := make(chan struct{})
			if s.Post(func() {
				defer close(done)
				if n = s.Buffered(); n == 50 && !stopped && time.Since(begin) < limit/2 {
					stopped = true
					stop(s, p)
				}
			}) != nil {
				return true // it has ended: too late
			}
			require.True(e, await(done), "a posted function never ran")
			return n == 50
		}, "a part of a message")
		if stopped {
			return s, p
		}
		assert.NoError(e, s.Abort())
		h.Closed()
	}
	e.Fatal("this machine is too slow to be in time")
	return nil, nil
}

// timeoutPause pauses in the middle of a message. The time begins anew behind that.
func timeoutPause(e *Env) {
	const limit = 200 * time.Millisecond
	f, _ := timed(limit)
	h := around(f)
	s, _ := e.halfWay(h, limit, func(s *session.Stream, _ Peer) { s.PauseRead() })
	time.Sleep(limit * 3 / 4) // most of the time has passed when it begins anew
	resumed := time.Now()
	s.ResumeRead()
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
	assert.GreaterOrEqual(e, time.Since(resumed), limit, "since ResumeRead")
}

// timeoutBlocked fills the queue in the middle of a message. The time begins anew when it has emptied.
func timeoutBlocked(e *Env) {
	const limit = 200 * time.Millisecond
	f, _ := timed(limit)
	h := around(f)
	_, p := e.halfWay(h, limit, func(s *session.Stream, _ Peer) {
		_, err := s.Write(Pattern(16 << 20))
		assert.NoError(e, err)
	})
	time.Sleep(limit * 3 / 4) // most of the time has passed when it begins anew
	read := time.Now()
	answer := readOn(p)
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
	assert.GreaterOrEqual(e, time.Since(read), limit, "since the peer reads")
	answer.gotAll(e, Pattern(16<<20))
}

// timeoutBusy has a callback hold up the loop for longer than the time, while the peer sends.
func timeoutBusy(e *Env) {
	const limit = 400 * time.Millisecond
	f, got := timed(limit)
	h := around(f)
	wire := encoded(e, Pattern(1000))
	e.halfWay(h, limit, func(_ *session.Stream, p Peer) {
		go func() {
			_, err := p.Write(wire[50:])
			assert.NoError(e, err)
		}()
		time.Sleep(3 * limit) // holds up the loop
	})
	e.Eventually(func() bool { return got.len() == 1 || h.Count("OnClose") > 0 }, "the message")
	got.same(e, Pattern(1000))
}

// timeoutChange gives the stream to another handler in the middle of a message.
func timeoutChange(e *Env) {
	const limit = 100 * time.Millisecond
	h := NewHooks()
	f, _ := timed(limit)
	f.Close = h.OnClose
	h.Open = func(s *session.Stream) { s.SetHandler(f) }
	_, p := e.halfWay(h, limit, func(s *session.Stream, _ Peer) { s.SetHandler(rest{h: h}) })
	time.Sleep(3 * limit) // the other handler's time would have ended
	h.StillOpen()
	require.NoError(e, p.CloseWrite())
	h.closedWith(nil)
	assert.Equal(e, 50, h.Len(), "bytes for the next handler")
}

// timeoutLast finishes with a message that the end of the stream ends. What the stream does then has no limit.
func timeoutLast(e *Env) {
	const limit = 60 * time.Millisecond
	var got inbound
	f := session.Frames(frame.Line{}, got.add)
	f.MessageTimeout = limit
	h := around(f)
	s, p := e.Pair(h, session.StreamOptions{AllowHalfClose: true})
	_, err := p.Write([]byte("the last"))
	require.NoError(e, err)
	e.Eventually(func() bool { return e.buffered(s) == 8 }, "the line, without an end")
	require.NoError(e, p.CloseWrite())
	e.Eventually(func() bool { return h.Count("OnEOF") == 1 }, "OnEOF")
	got.same(e, []byte("the last"))
	time.Sleep(3 * limit) // a time that went on would have ended
	h.StillOpen()
	_, err = s.Write([]byte("answer"))
	require.NoError(e, err)
	require.NoError(e, s.Close())
	require.Equal(e, "answer", string(e.ReadAll(p, 6)))
	h.closedWith(nil)
}

// timeoutMemory has peers use up the Transport's memory in the middle of messages. Their time runs nevertheless, else
// nobody would ever go on.
func timeoutMemory(e *Env) {
	if !e.once() {
		return
	}
	const limit = 512 << 10
	t := e.Open(func(o *Options) { o.MemoryLimit = limit })
	f, got := timed(300 * time.Millisecond)
	h := around(f)
	wire := encoded(e, Pattern(200_000))
	for range 4 {
		_, p := e.PairOn(t, h, session.StreamOptions{})
		go func() { _, _ = p.Write(wire[:len(wire)-1]) }()
	}
	for range 4 {
		require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
	}
	_, p := e.PairOn(t, around(session.Frames(codec, got.add)), session.StreamOptions{})
	go func() { _, _ = p.Write(wire) }()
	e.Eventually(func() bool { return got.len() == 1 }, "a message, when there is memory again")
}

// timeoutSleeps pauses a stream in the middle of a message that has very little time. Nobody looks at it meanwhile.
func timeoutSleeps(e *Env) {
	if !e.once() {
		return
	}
	t := e.oneLoop()
	const limit = 20 * time.Millisecond
	f, _ := timed(limit)
	h := around(f)
	e.under = t
	s, _ := e.halfWay(h, limit, func(s *session.Stream, _ Peer) { s.PauseRead() })
	time.Sleep(moment) // the time has run out, and the timer has looked
	assert.LessOrEqual(e, turnsOf(t)[0], uint64(6), "turns in %v while a stream is paused", 10*moment)
	s.ResumeRead()
	require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded)
}
