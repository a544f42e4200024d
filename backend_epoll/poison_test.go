//go:build linux

package epoll

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// Bytes are lent until Received returns, or until what Keep returned is called.
func TestLoansEnd(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	forEachSleep(t, func(t *testing.T, d *Driver) {
		o, peer := drivertest.Pair(t, d)
		want := bytes.Repeat([]byte("bytes"), bufferSize/4/5)
		var lent []byte
		var give func()
		o.OnBytes = func(p []byte) {
			assert.True(t, bytes.Equal(want, p))
			lent = p
		}
		drivertest.Send(t, peer, want)
		drivertest.Turn(t, d)
		require.Len(t, lent, len(want))
		assert.True(t, drivertest.IsPoison(lent), "after Received")
		o.OnBytes = func(p []byte) { lent, give = p, d.Keep() }
		drivertest.Send(t, peer, want)
		drivertest.Turn(t, d)
		require.NotNil(t, give)
		assert.True(t, bytes.Equal(want, lent), "kept")
		give()
		assert.True(t, drivertest.IsPoison(lent), "given back")
	})
}

// Memory that was kept and given back twice would be lent to two owners.
func TestKeptBufferComesBackOnce(t *testing.T) {
	drivertest.Misuses(t, "a receive buffer was given back twice", func() {
		d := open(t, Config{}, new(backend.Counters))
		d.lent = bufferSize
		give := d.Keep()
		give()
		give()
	})
}
