package backendtest

import (
	"net"
	"runtime"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// beginningsOnADyingLoop adopts and dials in the callback that ends the loop, so that neither can begin any longer. Both
// are told why.
func beginningsOnADyingLoop(e *Env) {
	t := e.Open(func(o *Options) { o.Loops = 1 })
	target, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err, "listen")
	defer target.Close()
	adopted, dialled, h := NewHooks(), NewHooks(), NewHooks()
	for _, each := range []*Hooks{adopted, dialled, h} {
		each.env(e)
	}
	a, b, err := socketPair()
	require.NoError(e, err, "socketpair")
	defer b.Close()
	h.Data = func(s *session.Stream) {
		_, _ = s.Next(-1)
		_, err := t.Adopt(a, adopted)
		assert.NoError(e, err, "adopt")
		_, err = t.Connect(e.Network, target.Addr().String(), dialled, nil)
		assert.NoError(e, err, "connect")
		runtime.Goexit()
	}
	_, p := e.PairOn(t, h, session.StreamOptions{})
	_, err = p.Write([]byte("go"))
	require.NoError(e, err, "write")
	for what, each := range map[string]*Hooks{"the stream": h, "an adopted stream": adopted, "a dial": dialled} {
		assert.ErrorIs(e, each.Closed(), backend.ErrGoexit, "OnClose of %s", what)
	}
}
