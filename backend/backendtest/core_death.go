package backendtest

import (
	"context"
	"net"
	"syscall"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// Rules on loops that die, and on ends that callbacks hold up.
var coreDeathRules = []Rule{
	{"S32_BlockedCallback", blockedCallback},
	{"S32_RefusesWhatIsNew", refusesWhatIsNew},
	{"S38_OtherLoopsGoOn", otherLoopsGoOn},
}

// blockedCallback shuts down while a callback does not return. Shutdown does, and says whose callback it is.
func blockedCallback(e *Env) {
	t := e.Open(nil)
	h := NewHooks()
	begun, release := make(chan struct{}), make(chan struct{})
	h.Data = func(s *session.Stream) { h.Collect(s); close(begun); await(release) }
	s, p := e.PairOn(t, h, session.StreamOptions{})
	e.writeAll(p, []byte("x"))
	arrives(e, begun)
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- t.Shutdown(ctx) }()
	err := arrives(e, ended)
	require.ErrorIs(e, err, context.DeadlineExceeded)
	require.Contains(e, err.Error(), "stream "+itoa(s.ID()))
	require.Zero(e, h.Count("OnClose"))
	require.Error(e, t.Shutdown(nilContext()), "a nil context")
	close(release)
	require.NoError(e, t.Close())
	h.Closed()
}

func nilContext() context.Context { return nil }

// refusesWhatIsNew begins streams and listeners in OnClose of a stream that a Shutdown ends.
func refusesWhatIsNew(e *Env) {
	t := e.Open(nil)
	server := e.listenOn(e.Network, e.Address(), echo())
	h := NewHooks()
	errs := map[string]error{}
	h.Close = func(*session.Stream, error) {
		_, errs["Connect"] = t.Connect(e.Network, server.Addr().String(), h, nil)
		_, errs["Dial"] = t.Dial(context.Background(), e.Network, server.Addr().String(), h, nil)
		_, errs["Listen"] = t.Listen("tcp", "127.0.0.1:0", h, nil)
		a, b := e.connPair("tcp")
		_, errs["Adopt"] = t.Adopt(a.(syscall.Conn), h)
		_ = a.Close()
		_ = b.Close()
	}
	e.PairOn(t, h, session.StreamOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(e, t.Shutdown(ctx))
	h.closedWith(nil)
	require.Len(e, errs, 4)
	for what, err := range errs {
		require.ErrorIs(e, err, net.ErrClosed, what)
	}
	require.Equal(e, 1, h.Count("OnClose"))
}

// otherLoopsGoOn ends one of two loops. The other serves on, and gets all that is new.
func otherLoopsGoOn(e *Env) {
	t := e.Open(func(o *Options) { o.Loops = 2 })
	h := echo()
	h.env(e)
	server := e.listenOn(e.Network, e.Address(), echo())
	var on [2]*session.Stream
	for on[0] == nil || on[1] == nil {
		s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
		require.NoError(e, err)
		h.Opened()
		on[s.Loop()] = s
	}
	e.goexit(on[0])
	require.Error(e, h.Closed())
	e.Eventually(func() bool { return t.Stats().Loops[0].Streams == 0 }, "the loop's streams have ended")
	e.onLoop(on[1], func() {})
	for range 6 {
		s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
		require.NoError(e, err)
		require.Equal(e, 1, s.Loop())
		h.Opened()
	}
	require.NoError(e, t.Err())
	select {
	case <-t.Done():
		e.Fatal("Done is closed although a loop lives")
	default:
	}
	e.Eventually(func() bool {
		s := t.Stats()
		return s.Opened == s.Closed+uint64(s.Streams)
	}, "figures that add up, once the turn has ended")
	require.NoError(e, t.Close())
	require.ErrorIs(e, t.Err(), net.ErrClosed)
	arrives(e, t.Done())
}
