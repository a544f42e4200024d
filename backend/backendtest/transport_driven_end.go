package backendtest

import (
	"io"
	"net"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// drivenEndElsewhere closes a Transport on another goroutine than the one that polled it, which lives on, as its thread
// does. Nothing may be left to that thread: peers learn of the end, and the address is free.
func drivenEndElsewhere(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t, _, l, p := e.drivenEcho()
	closed := make(chan error, 1)
	go func() { closed <- t.Close() }()
	if err := arrives(e, closed); err != nil {
		require.ErrorIs(e, err, backend.ErrThread, "Close on another goroutine")
	}
	_, err := p.Read(make([]byte, 1))
	assert.True(e, err == io.EOF || e.isReset(err), "the peer sees %v", err)
	e.Eventually(func() bool {
		again, err := net.Listen(e.Network, l.Addr().String())
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}, "the address to be free")
}
