package backendtest

import (
	"net"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// elsewhereRules are about streams that goroutines other than the loop's end, step by step.
var elsewhereRules = []Rule{
	{"S17_AbortWhileClosing", abortWhileClosing},
}

// abortWhileClosing aborts a stream whose Close waits for a peer that reads nothing. Each call comes from another
// goroutine than the loop's, when the loop has dealt with the one before.
func abortWhileClosing(e *Env) {
	h := NewHooks()
	h.Open = fillQueue
	s, _ := e.Pair(h, session.StreamOptions{CloseTimeout: -1})
	require.NoError(e, s.Close())
	time.Sleep(moment)
	s.PauseRead()
	time.Sleep(moment)
	require.Empty(e, h.closed, "Close does not wait")
	require.NoError(e, s.Abort())
	require.ErrorIs(e, h.Closed(), net.ErrClosed)
}
