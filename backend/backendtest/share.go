package backendtest

import (
	"bytes"
	"io"
	"sync"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on Buffers that many streams send.
var shareRules = []Rule{
	{"Share_ManyStreams", shareManyStreams},
	{"Share_ReceivedBytes", shareReceived},
	{"Share_EndsOfStreams", shareEnds},
}

// crowd is streams with peers, on all loops.
func (e *Env) crowd(n int) (streams []*session.Stream, peers []Peer) {
	e.Helper()
	for range n {
		s, p := e.Pair(NewHooks(), session.StreamOptions{})
		streams, peers = append(streams, s), append(peers, p)
	}
	return streams, peers
}

// writeShares writes b to all streams, and reports how many have taken it. It keeps b.
func writeShares(b *session.Buffer, streams []*session.Stream) (taken int) {
	for _, s := range streams {
		share := b.Share()
		if s.WriteBuffer(share) != nil {
			share.Release()
			continue
		}
		taken++
	}
	return taken
}

// shareManyStreams writes messages to streams from several goroutines, and from a loop. Half of the peers read nothing until
// all is written. Each gets every message whole.
func shareManyStreams(e *Env) {
	const writers, messages = 3, 6
	streams, peers := e.crowd(6)
	size := e.size(100_000)
	var early []*reading
	for _, p := range peers[:3] {
		early = append(early, readOn(p))
	}
	write := func(writer int) {
		for i := range messages {
			b := e.Under().NewBuffer(bytes.Repeat([]byte{byte(writer*messages + i)}, size))
			assert.Equal(e, len(streams), writeShares(b, streams), "streams that took a message")
			b.Release()
		}
	}
	var all sync.WaitGroup
	for w := range writers - 1 {
		all.Go(func() { write(w) })
	}
	e.onLoop(streams[0], func() { write(writers - 1) })
	all.Wait()
	for _, p := range peers[3:] {
		early = append(early, readOn(p))
	}
	for _, s := range streams {
		require.NoError(e, s.Close())
	}
	for _, r := range early {
		got, err := r.all(e)
		require.Equal(e, io.EOF, err)
		require.Len(e, got, writers*messages*size)
		next := [writers]int{}
		for i := 0; i < len(got); i += size {
			k := int(got[i])
			require.Equal(e, bytes.Repeat(got[i:i+1], size), got[i:i+size], "a message")
			require.Equal(e, next[k/messages], k%messages, "the order of a writer's messages")
			next[k/messages]++
		}
	}
}

// shareReceived passes what one stream receives on to others, in the memory that it came in.
func shareReceived(e *Env) {
	streams, peers := e.crowd(4)
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		b, err := s.Take(-1)
		if assert.NoError(e, err) {
			assert.Equal(e, len(streams), writeShares(b, streams), "streams that took a message")
			b.Release()
		}
	}
	h.EOF = func(*session.Stream) {
		for _, s := range streams {
			assert.NoError(e, s.Close())
		}
	}
	_, from := e.Pair(h, session.StreamOptions{})
	want := Pattern(e.size(2 << 20))
	var all []*reading
	for _, p := range peers {
		all = append(all, readOn(p))
	}
	e.sendAndFinish(from, want)
	for _, r := range all {
		r.gotAll(e, want)
	}
}

// shareEnds has streams end in all ways while others send the same bytes.
func shareEnds(e *Env) {
	streams, peers := e.crowd(5)
	want := Pattern(6 << 20)
	b := e.Under().NewBuffer(want)
	require.Equal(e, len(streams), writeShares(b, streams))
	b.Release()
	require.NoError(e, streams[0].Abort())
	require.NoError(e, streams[1].AbortWith(errOnPurpose))
	require.NoError(e, peers[2].Reset())
	require.NoError(e, streams[3].Close())
	closed, last := readOn(peers[3]), readOn(peers[4])
	closed.gotAll(e, want)
	require.NoError(e, streams[4].CloseWrite())
	last.gotAll(e, want)
}
