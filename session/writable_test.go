package session

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTellWritable asks for OnWritable where the queue has never been above HighWater.
func TestTellWritable(t *testing.T) {
	for _, later := range []bool{false, true} { // whether the driver answers a Send at once
		a := newActor(t, StreamOptions{HighWater: 10, LowWater: 4})
		a.f.later, a.f.room = later, 0
		n, err := WritePart(a.s, []byte("more than fits"))
		require.NoError(t, err)
		require.Equal(t, 10, n)
		a.turn()
		assert.Empty(t, a.took(), "nobody has asked")
		TellWritable(a.s)
		a.turn()
		assert.Empty(t, a.took(), "there is no room")
		a.f.room = 6
		a.turn()
		assert.Empty(t, a.took(), "LowWater is not reached")
		a.f.room = 1
		a.turn()
		assert.Equal(t, "writable", a.took())
		TellWritable(a.s)
		TellWritable(a.s)
		a.turn()
		assert.Empty(t, a.took(), "the queue is below LowWater, but no shorter than it was")
		a.f.room = plenty
		a.turn()
		assert.Equal(t, "writable", a.took(), "once")
		TellWritable(a.s)
		a.turn()
		assert.Equal(t, "writable", a.took(), "of a queue that is empty")
		a.turn()
		assert.Empty(t, a.took(), "nobody has asked")
		require.NoError(t, a.s.Close())
		TellWritable(a.s)
		a.turn()
		assert.Equal(t, "close <nil>", a.took())
	}
}
