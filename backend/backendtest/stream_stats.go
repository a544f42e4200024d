package backendtest

import (
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// streamStats has bytes come to a stream and go from it, in callbacks and from another goroutine, and looks at its figures.
func streamStats(e *Env) {
	const size = 1000
	before := time.Now()
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		p, _ := s.Next(-1)
		_, _ = s.Write(p)
	}
	s, p := e.Pair(h, session.StreamOptions{})
	opened := s.Stats().Opened
	assert.False(e, opened.Before(before) || opened.After(time.Now()), "the stream was opened at %v, after %v", opened, before)

	var last session.StreamStats
	for range 3 {
		_, err := p.Write(Pattern(size))
		require.NoError(e, err, "write")
		e.ReadAll(p, size)
		var now session.StreamStats
		e.Eventually(func() bool {
			now = s.Stats()
			return now.BytesIn >= last.BytesIn+size && now.BytesSent >= last.BytesSent+size && now.LastRead.After(last.LastRead) && now.LastWrite.After(last.LastWrite)
		}, "the figures of a message that was echoed; before it they were %+v", last)
		assert.False(e, now.LastRead.After(time.Now()) || now.LastWrite.After(time.Now()), "times to come: %+v", now)
		last = now
	}
	assert.Equal(e, opened, last.Opened, "when the stream was opened")
	if !e.TLS {
		assert.EqualValues(e, 3*size, last.BytesIn, "bytes that have come")
		assert.EqualValues(e, 3*size, last.BytesSent, "bytes that have gone")
	}
	e.Eventually(func() bool { // soon, because that time is not taken for each write
		_, err := s.Write(Pattern(size))
		require.NoError(e, err, "write")
		e.ReadAll(p, size)
		return s.Stats().LastWrite.After(last.LastWrite)
	}, "the time of bytes that another goroutine has sent")
	assert.Equal(e, last.LastRead, s.Stats().LastRead, "nothing has come")

	require.NoError(e, s.Close(), "close")
	_ = h.Closed()
	ended := s.Stats()
	assert.Equal(e, opened, ended.Opened, "after the end")
	assert.GreaterOrEqual(e, ended.BytesIn, last.BytesIn, "after the end")
}
