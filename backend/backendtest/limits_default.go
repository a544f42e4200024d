package backendtest

import (
	"errors"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// defaultMaxConns has more peers connect than the default of MaxConns allows. As the backlog is less than half of it, the
// driver accepts without bound at first, and is switched over at the half.
func defaultMaxConns(e *Env) {
	const limit, all = 8, 10
	t := e.Open(func(o *Options) { o.MaxConns = limit })
	h := NewHooks()
	h.env(e)
	o := &session.ListenOptions{Backlog: 2}
	l, err := t.Listen(e.Network, e.Address(), h, o)
	if errors.Is(err, errors.ErrUnsupported) { // a system without backlogs that are set
		o.Backlog = 0
		l, err = t.Listen(e.Network, e.Address(), h, o)
	}
	require.NoError(e, err, "listen")
	require.Equal(e, limit, l.Stats().MaxConns, "the limit that holds")
	var streams []*session.Stream
	for range limit {
		e.Connect(l.Addr())
		streams = append(streams, h.Opened())
	}
	for range all - limit {
		e.Connect(l.Addr())
	}
	time.Sleep(moment) // for streams that must not open
	require.Equal(e, limit, h.Count("OnOpen"), "streams that were opened")
	for _, s := range streams[:all-limit] {
		require.NoError(e, s.Close(), "close")
		h.Opened()
	}
	require.NoError(e, l.Close(), "close the listener")

	l, err = t.Listen(e.Network, e.Address(), h, &session.ListenOptions{MaxConns: -1})
	require.NoError(e, err, "listen")
	require.Zero(e, l.Stats().MaxConns, "the limit that holds")
	for range 2 * limit {
		e.Connect(l.Addr())
		h.Opened()
	}
	require.NoError(e, l.Close(), "close the listener")
}
