package backendtest

import (
	"io"
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// manyStreams is how many streams are there while others end.
const manyStreams = 3000

// endingBesideIdle compares the CPU time of connecting and closing beside many idle streams with that beside none.
func endingBesideIdle(e *Env) {
	if !e.once() || tiny(e) {
		return
	}
	t, idle := e.loaded(NewHooks(), nil)
	ended := e.listenWith(t, NewHooks(), nil)
	cost := func() time.Duration {
		least := time.Hour
		for range 4 {
			closed, before := t.Stats().Closed, processTime()
			for range 200 {
				c, err := net.DialTimeout(ended.Network(), ended.String(), patience)
				require.NoError(e, err)
				require.NoError(e, c.Close())
			}
			e.Eventually(func() bool { return t.Stats().Closed >= closed+200 }, "200 streams end")
			least = min(least, processTime()-before)
		}
		return least
	}
	alone := cost()
	e.many(manyStreams, idle)
	e.Eventually(func() bool { return t.Stats().Streams >= manyStreams }, "%d streams", manyStreams)
	beside := cost()
	// 1.5 times is the rule; the rest is for what else the machine does.
	assert.LessOrEqual(e, beside, 2*alone, "CPU time to end 200 streams beside %d; alone it is %v", manyStreams, alone)
}

// manyHangUps compares how long an echo takes while many peers hang up with what it takes on epoll.
func manyHangUps(e *Env) {
	if !e.once() || tiny(e) {
		return
	}
	delay := func(o tandem.Options) time.Duration {
		o.Loops = 1
		t := e.open(o)
		h := echo()
		probe := e.many(1, e.listenWith(t, h, nil))[0]
		s := h.Opened()
		peers := e.many(manyStreams, e.listenWith(t, NewHooks(), nil))
		e.Eventually(func() bool { return t.Stats().Streams > manyStreams }, "%d streams", manyStreams)
		letGo := hold(s)
		for _, c := range peers {
			_ = c.Close()
		}
		began := time.Now()
		letGo()
		for range 5 { // the second echo comes when some have been closed
			_, err := probe.Write([]byte("x"))
			require.NoError(e, err)
			_, err = io.ReadFull(probe, make([]byte, 1))
			require.NoError(e, err)
		}
		return time.Since(began)
	}
	epoll := delay(tandem.Options{Backend: tandem.Epoll})
	// Twice is the rule; the rest is for what else the machine does.
	assert.LessOrEqual(e, delay(e.Options), 100*time.Millisecond+4*epoll, "five echoes while %d peers hang up; on epoll they take %v", manyStreams, epoll)
}

// closeWithIdle closes a Transport that has many idle streams.
func closeWithIdle(e *Env) {
	if !e.once() || tiny(e) {
		return
	}
	t, to := e.loaded(NewHooks(), nil)
	e.many(manyStreams, to)
	e.Eventually(func() bool { return t.Stats().Streams >= manyStreams }, "%d streams", manyStreams)
	began := time.Now()
	e.Check(t.Close(), "close the Transport")
	assert.Less(e, time.Since(began), 2*time.Second)
}

// turnsOf counts the turns of a Transport in a time in which nothing can move.
func turnsOf(t tandem.Transport) uint64 {
	before := t.Stats().Turns
	time.Sleep(10 * moment)
	return t.Stats().Turns - before
}

// full is a stream whose queue is full, because its peer reads nothing.
func (e *Env) full() (tandem.Transport, *tandem.Stream, Peer) {
	e.Helper()
	t := e.Open(func(o *tandem.Options) { o.Loops, o.AllowHalfClose = 1, true })
	h := NewHooks()
	h.Open = func(s *tandem.Stream) { _, _ = s.Write(pattern()[:12<<20]) }
	s, p := e.PairOn(t, h, tandem.StreamOptions{AllowHalfClose: true})
	time.Sleep(2 * moment)
	return t, s, p
}

// halfClosedPeer has a peer that reads nothing finish sending. The loop sleeps, also while the stream closes.
func halfClosedPeer(e *Env) {
	for _, closing := range []bool{false, true} {
		t, s, p := e.full()
		if closing {
			_ = s.Close()
		}
		require.NoError(e, p.CloseWrite())
		time.Sleep(2 * moment)
		assert.LessOrEqual(e, turnsOf(t), uint64(10), "turns in which nothing could move, closing: %v", closing)
		_ = s.Abort()
	}
}

// slowDownload has the peer of a large answer read slowly. That it has finished sending costs nothing.
func slowDownload(e *Env) {
	if e.Peer != nil {
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
