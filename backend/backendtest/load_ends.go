package backendtest

import (
	"io"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// manyStreams is how many idle streams a Transport has that is closed.
const manyStreams = 3000

// closeWithIdle closes a Transport that has many idle streams.
func closeWithIdle(e *Env) {
	if !e.once() || e.Tiny {
		return
	}
	t, to := e.loaded(NewHooks(), nil)
	e.many(manyStreams, to)
	e.Eventually(func() bool { return t.Stats().Streams >= manyStreams }, "%d streams", manyStreams)
	began := time.Now()
	require.NoError(e, t.Close(), "close the Transport")
	assert.Less(e, time.Since(began), 2*time.Second)
}

// turnsOf counts the turns of Transports in a time in which nothing can move.
func turnsOf(ts ...*session.Engine) []uint64 {
	turns := make([]uint64, len(ts))
	for i, t := range ts {
		turns[i] = t.Stats().Turns
	}
	time.Sleep(10 * moment)
	for i, t := range ts {
		turns[i] = t.Stats().Turns - turns[i]
	}
	return turns
}

// full is a stream whose queue is full, because its peer reads nothing.
func (e *Env) full() (*session.Engine, *session.Stream, Peer) {
	e.Helper()
	t := e.Open(func(o *Options) { o.Loops, o.Stream.AllowHalfClose = 1, true })
	h := NewHooks()
	h.Open = func(s *session.Stream) { _, _ = s.Write(pattern()[:12<<20]) }
	s, p := e.PairOn(t, h, session.StreamOptions{AllowHalfClose: true})
	time.Sleep(2 * moment) // the kernel has taken what it can
	return t, s, p
}

// halfClosedPeer has a peer that reads nothing finish sending. The loop sleeps, also while the stream closes.
func halfClosedPeer(e *Env) {
	open, s, p := e.full()
	closing, closed, q := e.full()
	require.NoError(e, closed.Close())
	require.NoError(e, p.CloseWrite())
	require.NoError(e, q.CloseWrite())
	time.Sleep(2 * moment) // what the ends cause has been done
	turns := turnsOf(open, closing)
	assert.LessOrEqual(e, turns[0], uint64(10), "turns in which nothing could move")
	assert.LessOrEqual(e, turns[1], uint64(10), "turns in which nothing could move, while the stream closes")
	_, _ = s.Abort(), closed.Abort()
}

// slowDownload has the peer of a large answer read slowly. That it has finished sending costs nothing.
func slowDownload(e *Env) {
	if e.Peers != nil {
		return // which reads by itself
	}
	turns := func(halfClose bool) uint64 {
		t, s, p := e.full()
		_ = s.Close()
		if halfClose {
			require.NoError(e, p.CloseWrite())
		}
		b := make([]byte, 128<<10)
		for total := 0; total < 12<<20; total += len(b) {
			_, err := io.ReadFull(p, b)
			require.NoError(e, err)
			time.Sleep(time.Millisecond)
		}
		return t.Stats().Turns
	}
	without := turns(false)
	assert.LessOrEqual(e, turns(true), 5*without+300, "turns for a peer that has finished; %d for one that has not", without)
}
