package backend

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// How many sockets forward shows only in the course of a turn, so the one before counts, too.
func TestShareOfATurnThatBegins(t *testing.T) {
	f := &Forwarding{now: 3}
	assert.Equal(t, 2*PipeSize/3, f.Share())
	f.Turn()
	assert.Equal(t, 2*PipeSize/3, f.Share(), "when three have forwarded in the turn before")
	f.Turn()
	assert.Equal(t, PipeSize, f.Share(), "when none has")
	f.now = 100
	assert.Equal(t, leastShare, f.Share())
}
