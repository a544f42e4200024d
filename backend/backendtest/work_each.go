package backendtest

import (
	"errors"
	"net"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// visits returns the streams of a loop that Each visits.
func (e *Env) visits(l session.Loop) []*session.Stream {
	e.Helper()
	var all []*session.Stream
	require.NoError(e, l.Each(func(s *session.Stream) { all = append(all, s) }))
	e.onOwnLoop(l, nothingAtAll) // behind it, because few streams are no work
	return all
}

// workEach visits the streams of one of two loops: those that are open, and no others.
func workEach(e *Env) {
	if !e.once() {
		return
	}
	t, h := e.Open(func(o *Options) { o.Loops = 2 }), NewHooks()
	on := e.streamOnEach(t, h)
	require.Equal(e, on[:1], e.visits(t.Loop(0)))
	require.Equal(e, on[1:], e.visits(t.Loop(1)))

	l, opening := t.Loop(1), NewHooks()
	opening.Open = func(s *session.Stream) {
		var all []*session.Stream
		assert.NoError(e, l.Each(func(s *session.Stream) { all = append(all, s) }))
		assert.Equal(e, on[1:], all, "in OnOpen: the stream is none yet")
	}
	opening.Close = func(s *session.Stream, _ error) {
		var all []*session.Stream
		assert.NoError(e, l.Each(func(s *session.Stream) { all = append(all, s) }))
		assert.Equal(e, on[1:], all, "in OnClose: the stream is none any longer")
	}
	p := e.connectBeside(t, on[1], opening, session.StreamOptions{})
	s := opening.Opened()
	require.ElementsMatch(e, []*session.Stream{on[1], s}, e.visits(l))
	require.NoError(e, p.Close())
	require.NoError(e, opening.Closed())
	require.Equal(e, on[1:], e.visits(l))

	begun := e.begins(e.patient(), t, false, e.unreachable(), &session.DialOptions{SameLoop: on[1]}) // and what is no stream yet
	require.Equal(e, on[1:], e.visits(l))
	require.NoError(e, l.Each(func(s *session.Stream) { assert.NoError(e, s.AbortWith(errors.New("visited"))) }))
	assert.EqualError(e, h.Closed(), "visited")
	require.Empty(e, e.visits(l))
	require.NoError(e, t.Close())
	assert.ErrorIs(e, arrives(e, begun), net.ErrClosed)
}

// workEachInside visits streams inside callbacks, where it happens at once: what is lent to the callback may be written
// to all of them, and they may be ended.
func workEachInside(e *Env) {
	if !e.once() {
		return
	}
	const streams = 5
	t := e.oneLoop()
	l, h := t.Loop(0), NewHooks()
	h.Data = func(s *session.Stream) {
		b, err := s.Peek(5)
		if err != nil {
			return
		}
		called := 0
		assert.NoError(e, l.Each(func(to *session.Stream) {
			called++
			_, err := to.Write(b)
			assert.NoError(e, err)
			if to != s {
				assert.NoError(e, to.Close())
			}
		}))
		assert.Equal(e, streams, called, "streams that Each has visited when it returns")
		assert.Equal(e, "hello", string(b), "what is lent to the callback")
		_, _ = s.Discard(5)
	}
	var peers []Peer
	for range streams {
		_, p := e.PairOn(t, h, session.StreamOptions{})
		peers = append(peers, p)
	}
	_, err := peers[2].Write([]byte("hello"))
	require.NoError(e, err)
	for _, p := range peers {
		assert.Equal(e, "hello", string(e.ReadAll(p, 5)))
	}
	for range streams - 1 {
		require.NoError(e, h.Closed())
	}
	h.StillOpen()
	require.Len(e, e.visits(l), 1)
}

// workEachFairly visits streams for longer than a turn may last. One of them that gets a byte meanwhile does not wait for the
// end, and every stream is visited once.
func workEachFairly(e *Env) {
	if !e.once() {
		return
	}
	const streams = 200
	t, h := e.oneLoop(), NewHooks()
	for range streams - 1 {
		e.PairOn(t, h, session.StreamOptions{})
	}
	seen := map[uint64]int{}
	before := e.besideOwnWork(t, streams, func(l session.Loop, piece func()) {
		require.NoError(e, l.Each(func(s *session.Stream) {
			seen[s.ID()]++
			piece()
		}))
	})
	assert.LessOrEqual(e, before, int64(streams/2), "streams of %d that were visited before a byte that came during the first visit", streams)
	e.onOwnLoop(t.Loop(0), func() {
		assert.Len(e, seen, streams)
		for id, n := range seen {
			assert.Equal(e, 1, n, "visits of stream %d", id)
		}
	})
}
