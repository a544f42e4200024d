package backendtest

import (
	"bytes"
	"io"
	"net"
	"os"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// Rules on ends in which two things meet: a time and a reader, a failure and a budget, a close and a peer that sends on.
var coreEndRules = []Rule{
	{"S14_HalfCloseTimeout", halfCloseTimeout},
	{"S16_SteadyReader", steadyReader},
	{"S16_NoLimit", closeWithoutLimit},
	{"S16_InStages", closeInStages},
	{"S16_InStagesEndsBySilence", stagesEnd},
	{"S16_EndsDelivery", endsDelivery},
	{"S33_HandlerTime", handlerTime},
}

// halfCloseTimeout half-closes streams on which nothing moves any longer, by either end.
func halfCloseTimeout(e *Env) {
	for _, own := range []bool{false, true} {
		h := NewHooks()
		s, p := e.Pair(h, tandem.StreamOptions{AllowHalfClose: true, HalfCloseTimeout: 60 * time.Millisecond})
		h.StillOpen() // both directions are open: there is no limit
		h.StillOpen()
		if own {
			require.NoError(e, s.CloseWrite())
		} else {
			require.NoError(e, p.CloseWrite())
		}
		require.ErrorIs(e, h.Closed(), os.ErrDeadlineExceeded, "by the stream itself: %v", own)
	}
}

// steadyReader closes with much queued. The peer is slow, and never takes nothing for CloseTimeout.
func steadyReader(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, tandem.StreamOptions{CloseTimeout: 400 * time.Millisecond})
	e.small(s)
	want := Pattern(3 << 20)
	_, err := s.Write(want)
	require.NoError(e, err)
	require.NoError(e, s.Close())
	var got []byte
	for piece := make([]byte, 64<<10); err == nil; time.Sleep(15 * time.Millisecond) {
		var n int
		n, err = io.ReadFull(p, piece)
		got = append(got, piece[:n]...)
	}
	require.True(e, bytes.Equal(want, got), "%d of %d bytes came, then %v", len(got), len(want), err)
	h.closedWith(nil)
}

// closeWithoutLimit closes towards a peer that takes nothing for a while.
func closeWithoutLimit(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, tandem.StreamOptions{CloseTimeout: -1})
	e.fillQueue(s)
	require.NoError(e, s.Close())
	time.Sleep(5 * moment)
	h.StillOpen()
	readOn(p).gotAll(e, Pattern(8<<20))
	h.closedWith(nil)
}

// closeInStages closes while the peer goes on sending. It can send everything, and read the answer.
func closeInStages(e *Env) {
	h := NewHooks()
	h.Data = func(s *tandem.Stream) {
		_, _ = s.Discard(-1)
		_, _ = s.Write([]byte("too much"))
		_ = session.CloseInStages(s)
	}
	_, p := e.Pair(h, tandem.StreamOptions{})
	answer := readOn(p)
	for range 64 {
		_, err := p.Write(Pattern(64 << 10))
		require.NoError(e, err, "the connection was reset while the peer sent")
	}
	require.NoError(e, p.CloseWrite())
	answer.gotAll(e, []byte("too much"))
	h.closedWith(nil)
	require.Equal(e, 1, h.Count("OnData"), "bytes were delivered after the close")
}

// stagesEnd closes in stages towards a peer that neither finishes nor sends.
func stagesEnd(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, tandem.StreamOptions{})
	begin := time.Now()
	_, _ = s.Write([]byte("bye"))
	require.NoError(e, session.CloseInStages(s))
	require.Equal(e, "bye", string(e.ReadAll(p, 3)))
	h.closedWith(nil)
	require.GreaterOrEqual(e, time.Since(begin), 400*time.Millisecond, "it did not wait for the peer's end")
}

// endsDelivery ends streams that have failed, in the callback for the first of the bytes that came before the failure.
func endsDelivery(e *Env) {
	for name, end := range map[string]func(*tandem.Stream) error{"Close": (*tandem.Stream).Close, "Abort": (*tandem.Stream).Abort} {
		calls := 0
		codec := frame.U64{}
		h := session.Frames(codec, func(s *tandem.Stream, _ []byte) {
			if calls++; calls == 1 {
				_ = end(s)
			}
		})
		opened, release, closed := make(chan *tandem.Stream, 1), make(chan struct{}), make(chan error, 1)
		h.Open = func(s *tandem.Stream) {
			opened <- s
			await(release)                 // until bytes and reset are both there
			_, _ = s.Write([]byte("lost")) // finds out about the reset
		}
		h.Close = func(_ *tandem.Stream, err error) { closed <- err }
		l, err := e.Under().Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(e, err)
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(e, err)
		arrives(e, opened)
		one, _ := codec.Append(nil, []byte("hello"))
		_, err = c.Write(bytes.Repeat(one, 10))
		require.NoError(e, err)
		require.NoError(e, plainPeer{c.(halfCloser)}.Reset())
		time.Sleep(moment)
		close(release)
		_ = arrives(e, closed)
		require.LessOrEqual(e, calls, 1, "messages, of which the first one calls %s", name)
		require.NoError(e, l.Close())
	}
}

// handlerTime has handlers that need long. One stream gets about a millisecond of a turn, for bytes as for messages.
func handlerTime(e *Env) {
	t := e.Open(func(o *tandem.Options) { o.Loops = 1 })
	var most, turn, inTurn, total int
	done := make(chan struct{})
	const all, each = 400, 300 * time.Microsecond
	h := session.Frames(frame.U64{}, func(*tandem.Stream, []byte) {
		for begin := time.Now(); time.Since(begin) < each; {
		}
		if now := int(t.Stats().Turns); now != turn {
			turn, inTurn = now, 0
		}
		inTurn++
		most = max(most, inTurn)
		if total++; total == all {
			close(done)
		}
	})
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	p := e.dialPlain(l.Addr())
	one, _ := frame.U64{}.Append(nil, []byte("hello"))
	_, err = p.Write(bytes.Repeat(one, all))
	require.NoError(e, err)
	if !await(done) {
		e.Fatal("not all messages came")
	}
	require.LessOrEqual(e, most, 16, "messages of %v in one turn", each)
}
