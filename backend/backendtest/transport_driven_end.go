package backendtest

import (
	"io"
	"net"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// drivenEndElsewhere closes a Transport on another goroutine than the one that polled it, which lives on, as its thread
// does. Nothing may be left to that thread: peers learn of the end, and the address is free.
func drivenEndElsewhere(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t := e.driven(session.StreamOptions{})
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err, "listen")
	p := e.dialPlain(l.Addr())
	_, err = p.Write([]byte("ping"))
	require.NoError(e, err, "write")
	e.poll(func() bool { return t.Stats().BytesOut == 4 }, "the answer", t)
	e.ReadAll(p, 4)
	closed := make(chan error, 1)
	go func() { closed <- t.Close() }()
	if err := arrives(e, closed); err != nil {
		require.ErrorIs(e, err, backend.ErrThread, "Close on another goroutine")
	}
	_, err = p.Read(make([]byte, 1))
	assert.True(e, err == io.EOF || e.isReset(err), "the peer sees %v", err)
	e.Eventually(func() bool {
		again, err := net.Listen(e.Network, l.Addr().String())
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}, "the address to be free")
}
