package backendtest

import (
	"context"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// Rules on dials in which several things end at once. Each attempt's descriptor has one owner, and is closed once.
var dialRaceRules = []Rule{
	{"S26_AttemptFailsAsTheDialEnds", attemptFailsAsTheDialEnds},
}

// stays is a handler that leaves its stream open when its Transport shuts down.
type stays struct{ *Hooks }

// OnDrain implements tandem.Drainer.
func (stays) OnDrain(*tandem.Stream) {}

// attemptFailsAsTheDialEnds ends dials in every turn from the beginning on: before, when and after the attempt is
// refused. What an attempt holds is let go of once: a stream that stays open keeps the loop from ending.
func attemptFailsAsTheDialEnds(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(tandem.StreamOptions{})
	a, b := e.connPair("tcp")
	defer b.Close()
	open := NewHooks()
	open.env(e)
	_, err := t.Adopt(a.(syscall.Conn), stays{open})
	require.NoError(e, err)
	f, refusing, err := bound()
	require.NoError(e, err)
	defer f.Close()
	for i := range 40 {
		h := NewHooks()
		h.env(e)
		s, err := t.Connect("tcp", refusing.String(), h, nil)
		require.NoError(e, err)
		for range i % 5 {
			_, err := t.Poll(0)
			require.NoError(e, err)
		}
		require.NoError(e, s.Abort())
		e.poll(func() bool { return len(h.closed) == 1 }, "OnClose", t)
		for range 3 {
			_, err := t.Poll(0)
			require.NoError(e, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	require.ErrorIs(e, t.Shutdown(ctx), context.DeadlineExceeded, "a stream is open")
	require.Error(e, open.Closed())
}
