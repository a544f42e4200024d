package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestWritePartAboveTheLimit has more queued than WriteBufferLimit, which a single write may bring about. Nothing fits then,
// and that is no error.
func TestWritePartAboveTheLimit(t *testing.T) {
	a := newActor(t, StreamOptions{WriteBufferLimit: 8})
	a.f.room = 0
	_, err := a.s.Write([]byte("0123456789"))
	require.NoError(t, err)
	n, err := WritePart(a.s, []byte("ab"))
	require.NoError(t, err)
	assert.Zero(t, n)
	_, err = a.s.Write([]byte("ab"))
	assert.ErrorIs(t, err, ErrWriteBufferFull)
	a.f.room = plenty
	require.NoError(t, a.s.Close())
	a.ended("close <nil>", inOrder)
	assert.Equal(t, "0123456789", a.f.got())
}

// TestWritableAfterNotify fills the queue again in a function of WriteNotify, which is called because it has emptied:
// OnWritable comes when it is empty for the second time.
func TestWritableAfterNotify(t *testing.T) {
	a := newActor(t, StreamOptions{HighWater: 8})
	a.f.room = 10
	require.NoError(t, a.s.WriteNotify([]byte("0123456789"), func(err error) {
		assert.NoError(t, err)
		_, err = a.s.Write([]byte("abcdefghij"))
		assert.NoError(t, err)
	}))
	a.turn()
	assert.Empty(t, a.took(), "OnWritable was called with %d bytes queued", a.s.Queued())
	a.f.room = plenty
	a.turn()
	assert.Equal(t, "writable", a.took())
}
