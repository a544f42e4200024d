package backendtest

import (
	"bytes"
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// Rules on limits at the byte, and on what is left unread.
var exactRules = []Rule{
	{"S03_LeftBytesStay", leftBytesStay},
	{"S07_ExactLimit", exactLimit},
	{"S10_ExactHighWater", exactHighWater},
	{"S10_ExactLowWater", exactLowWater},
}

// leftBytesStay leaves bytes unread while other streams of the loop receive, so that a driver uses its memory again.
func leftBytesStay(e *Env) {
	t := e.oneLoop()
	want := Pattern(3000)
	h, other := NewHooks(), NewHooks()
	h.Data = func(s *session.Stream) {
		if s.Buffered() == len(want) {
			h.Collect(s)
		}
	}
	s, p := e.PairOn(t, h, session.StreamOptions{})
	_, q := e.PairOn(t, other, session.StreamOptions{})
	for sent := 0; sent < len(want); sent += 1000 {
		_, err := p.Write(want[sent:][:1000])
		require.NoError(e, err)
		e.Eventually(func() bool { return e.buffered(s) == sent+1000 || h.Len() > 0 }, "%d bytes", sent+1000)
		before := other.Len()
		_, err = q.Write(bytes.Repeat([]byte{0xdd}, 50_000))
		require.NoError(e, err)
		e.Eventually(func() bool { return other.Len() == before+50_000 }, "the other stream's bytes")
	}
	assert.True(e, bytes.Equal(want, h.Got()), "bytes that were left unread have changed")
}

// exactLimit fills the queue to WriteBufferLimit, by each method. One byte more is refused, and none is lost.
func exactLimit(e *Env) {
	const limit = 10_000
	for name, write := range map[string]func(*session.Stream, []byte) error{
		"Write":  func(s *session.Stream, p []byte) error { _, err := s.Write(p); return err },
		"Writev": func(s *session.Stream, p []byte) error { _, err := s.Writev(net.Buffers{p}); return err },
		"WriteNotify": func(s *session.Stream, p []byte) error {
			return s.WriteNotify(p, func(error) {})
		},
	} {
		e.Scenario(name, func() {
			h := NewHooks()
			s, p := e.Pair(h, session.StreamOptions{WriteBufferLimit: limit})
			want := Pattern(limit)
			e.onLoop(s, func() { // where nothing is sent before the turn ends
				assert.NoError(e, write(s, want[:1]))
				assert.ErrorIs(e, write(s, want), session.ErrWriteBufferFull, "%s: one byte more than the limit", name)
				assert.NoError(e, write(s, want[1:]), "%s: to the limit", name)
				assert.Equal(e, limit, s.Queued(), name)
				assert.ErrorIs(e, write(s, want[:1]), session.ErrWriteBufferFull, "%s: at the limit", name)
				assert.NoError(e, write(s, nil), "%s: nothing, at the limit", name)
			})
			assert.Equal(e, want, e.ReadAll(p, limit), name)
			require.NoError(e, s.Close())
			h.closedWith(nil)
		})
	}
}

// exactHighWater fills the queue to HighWater, where the stream is writable, and by one byte more, where it is not.
func exactHighWater(e *Env) {
	const high = 10_000
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{HighWater: high})
	e.onLoop(s, func() {
		_, err := s.Write(Pattern(high))
		assert.NoError(e, err)
		assert.True(e, s.Writable(), "at HighWater")
	})
	e.ReadAll(p, high)
	e.turnLater(s, func() { assert.Zero(e, h.Count("OnWritable"), "the queue was never above HighWater") })
	e.onLoop(s, func() {
		_, err := s.Write(Pattern(high + 1))
		assert.NoError(e, err)
		assert.False(e, s.Writable(), "above HighWater")
	})
	e.ReadAll(p, high+1)
	e.Eventually(func() bool { return h.Count("OnWritable") == 1 }, "OnWritable")
	assert.True(e, s.Writable())
}

// exactLowWater has the queue fall to LowWater, where the stream is not writable again, and then below.
func exactLowWater(e *Env) {
	const low = 1 << 20
	for range 20 {
		h := NewHooks()
		s, p := e.Pair(h, session.StreamOptions{HighWater: low, LowWater: low})
		e.small(s)
		e.onLoop(s, func() {
			_, err := s.Write(Pattern(low + 1))
			assert.NoError(e, err)
			assert.NoError(e, s.Flush()) // the kernel takes what it can, and the turn has not ended
			_, err = s.Write(Pattern(low - s.Queued()))
			assert.NoError(e, err)
		})
		time.Sleep(moment)     // the turn has ended, and a wrong OnWritable would have come
		if s.Queued() != low { // the kernel has taken a little more meanwhile
			assert.NoError(e, s.Abort())
			h.Closed()
			continue
		}
		assert.Zero(e, h.Count("OnWritable"), "calls of OnWritable at LowWater")
		assert.False(e, s.Writable(), "at LowWater")
		got := readOn(p)
		e.Eventually(func() bool { return h.Count("OnWritable") == 1 }, "OnWritable below LowWater")
		assert.True(e, s.Writable())
		require.NoError(e, s.Close())
		_, _ = got.all(e)
		h.closedWith(nil)
		return
	}
	e.Log("NOT TESTED: the kernel never took as much as it had said")
}
