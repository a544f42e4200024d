package session

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// TestVsockConnectsLate has a driver report a vsock as connected that is not yet.
func TestVsockConnectsLate(t *testing.T) {
	c := newCaller(t)
	s, err := c.engine.Connect("vsock", "3:1024", c.recorder, nil)
	require.NoError(t, err)
	c.s = s
	c.turn()
	f := c.made[0]
	peer := f.peer
	f.local = backend.FromVsock(&backend.VsockAddr{CID: 7, Port: 5})
	f.peer = backend.Address{}
	for range 5 {
		f.answer = nil
		_, err = c.engine.loops[0].Step(0)
		require.NoError(t, err)
		assert.Equal(t, dialing, s.life.phase)
		assert.True(t, f.connecting, "the driver was not asked again")
	}
	f.peer = peer
	c.turn()
	assert.Equal(t, "open", c.took())
	assert.Equal(t, "3:1024", s.RemoteAddr().String())
	assert.Equal(t, "vsock", s.opError("read", net.ErrClosed).(*net.OpError).Net)
	require.NoError(t, s.Abort())
	c.turn()

	c = newCaller(t) // one that never is
	c.s, err = c.engine.Connect("vsock", "3:1024", c.recorder, nil)
	require.NoError(t, err)
	c.turn()
	c.made[0].peer, c.made[0].answer = backend.Address{}, nil
	for range 2 * maxLooks {
		_, err = c.engine.loops[0].Step(0)
		require.NoError(t, err)
	}
	assert.NotEqual(t, dialing, c.s.life.phase, "it is looked at for ever")
}
