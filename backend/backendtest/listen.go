package backendtest

import (
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on listeners. Those on MaxConns and pauses are in listen_limits.go, those on paths in listen_unix_linux.go,
// those on accepts that fail in listen_errors_linux.go.
var listenRules = append([]Rule{
	{"S25_ListenOptions", listenOptions},
	{"S25_TakenForAMoment", takenForAMoment},
	{"S25_TakenInACallback", takenInACallback},
	{"S28_Burst", burst},
	{"S28_BurstRejected", burstRejected},
	{"S28_ParkedPeersLeave", parkedPeersLeave},
	{"S28_ParkedAreReset", parkedAreReset},
	{"S29_PauseAccept", pauseAccept},
	{"S29_PauseAtLimit", pauseAtLimit},
	{"S29_PauseFromEverywhere", pauseFromEverywhere},
	{"S32_ListenInShutdown", listenInShutdown},
	{"S38_ListenerMoves", listenerMoves},
	{"S38_ListenerOfTheLastLoop", listenerOfTheLastLoop},
}, listenRulesLinux...)

// listenOptions has arguments that are wrong, each of which the error names.
func listenOptions(e *Env) {
	if !e.once() {
		return
	}
	for says, o := range map[string]*session.ListenOptions{
		"Backlog is -1":            {Backlog: -1},
		"raise net.core.somaxconn": {Backlog: 1 << 30},
		"take over a socket":       {From: (*net.TCPListener)(nil)},
		"ReadBufferLimit":          {StreamOptions: session.StreamOptions{ReadBufferLimit: -1}},
	} {
		_, err := e.Under().Listen("tcp", "127.0.0.1:0", NewHooks(), o)
		var op *net.OpError
		require.ErrorAs(e, err, &op, says)
		assert.Equal(e, "listen", op.Op)
		assert.ErrorContains(e, err, says)
	}
	_, err := e.Under().Listen("tcp", "127.0.0.1:0", nil, nil)
	var op *net.OpError
	require.ErrorAs(e, err, &op)
	assert.ErrorContains(e, err, "Handler")
}

// counted returns a Control function that counts its calls, one for each attempt to bind.
func counted() (func(string, string, syscall.RawConn) error, *atomic.Int32) {
	n := new(atomic.Int32)
	return func(string, string, syscall.RawConn) error { n.Add(1); return nil }, n
}

// takenForAMoment has an address that becomes free while Listen tries, as that of a process that has just ended.
func takenForAMoment(e *Env) {
	if !e.once() {
		return
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": "@tandem-taken-" + e.Name} {
		control, attempts := counted()
		var theirs net.Listener
		gone := make(chan struct{})
		o := &session.ListenOptions{Control: func(network, address string, c syscall.RawConn) error {
			if attempts.Load() == 2 {
				_ = theirs.Close()
				close(gone)
			}
			return control(network, address, c)
		}}
		theirs, err := net.Listen(network, address)
		require.NoError(e, err)
		l, err := e.Under().Listen(network, theirs.Addr().String(), NewHooks(), o)
		require.NoError(e, err, "an address that became free")
		<-gone
		require.NoError(e, l.Close())
	}
}

// takenInACallback checks whether Listen gives up at once where waiting would hold up a loop.
func takenInACallback(e *Env) {
	if !e.once() {
		return
	}
	theirs, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e, err)
	defer theirs.Close()
	control, attempts := counted()
	result := make(chan error, 1)
	h := NewHooks()
	h.Open = func(*session.Stream) {
		_, err := e.Under().Listen("tcp", theirs.Addr().String(), NewHooks(), &session.ListenOptions{Control: control})
		result <- err
	}
	e.Pair(h, session.StreamOptions{})
	e.inUse(<-result)
	assert.EqualValues(e, 1, attempts.Load(), "attempts in a callback")
	_, err = e.Under().Listen("tcp", theirs.Addr().String(), NewHooks(), &session.ListenOptions{Control: control})
	e.inUse(err)
	assert.Greater(e, attempts.Load(), int32(3), "attempts elsewhere")
}

// listenInShutdown begins to listen while the Transport ends, and after.
func listenInShutdown(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t := e.Open(nil)
	refused := func() {
		for _, network := range []string{"tcp", "unix"} {
			address := "127.0.0.1:0"
			if network == "unix" {
				address = filepath.Join(e.TempDir(), "s")
			}
			_, err := t.Listen(network, address, NewHooks(), nil)
			var op *net.OpError
			assert.ErrorAs(e, err, &op)
			assert.ErrorIs(e, err, net.ErrClosed)
		}
	}
	h := drainHooks{NewHooks(), func(s *session.Stream) {
		refused()
		_ = s.Close()
	}}
	h.Open = func(s *session.Stream) { s.SetHandler(h) }
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	e.Connect(l.Addr())
	h.Opened()
	require.NoError(e, t.Shutdown(e.patient()))
	assert.ErrorIs(e, l.Err(), net.ErrClosed)
	refused()
}

// openedOn connects until there is a stream on a loop.
func (h *Hooks) openedOn(e *Env, l session.Listener, loop int) *session.Stream {
	e.Helper()
	for range 1000 {
		e.pingPong(e.Connect(l.Addr()))
		if s := h.Opened(); s.Loop() == loop {
			return s
		}
	}
	e.Fatalf("no stream on loop %d", loop)
	return nil
}

// goexit ends the loop of a stream by what a careless callback may do.
func (e *Env) goexit(s *session.Stream) {
	e.Helper()
	require.NoError(e, s.Post(runtime.Goexit))
}

// listenerMoves ends the loop that accepts. The listener goes on on the other one.
func listenerMoves(e *Env) {
	if !e.once() {
		return
	}
	for _, balance := range []session.Balance{session.RoundRobin, session.ReusePort} {
		t, log := e.openLogging(func(o *Options) { o.Loops, o.Balance = 2, balance })
		h := echo()
		h.env(e)
		l, err := t.Listen(e.Network, e.Address(), h, nil)
		require.NoError(e, err)
		s := h.openedOn(e, l, 0)
		e.goexit(s)
		h.Closed()
		e.Eventually(func() bool { return strings.Contains(log.String(), "level=ERROR") }, "a message")
		for range 10 {
			e.pingPong(e.Connect(l.Addr()))
			assert.Equal(e, 1, h.Opened().Loop())
		}
		require.NoError(e, l.Err())
		require.NoError(e, t.Err())
		again, err := t.Listen(e.Network, e.Address(), h, nil)
		require.NoError(e, err)
		e.pingPong(e.Connect(again.Addr()))
		require.NoError(e, again.Close())
		require.NoError(e, l.Close())
	}
}

// listenerOfTheLastLoop ends the only loop. Nothing waits for it.
func listenerOfTheLastLoop(e *Env) {
	if e.Dialled || e.Peers != nil {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	e.Connect(l.Addr())
	e.goexit(h.Opened())
	e.Eventually(func() bool { return l.Err() != nil }, "the end of the listener")
	require.NotErrorIs(e, l.Err(), net.ErrClosed)
	began := time.Now()
	require.NoError(e, l.Close())
	assert.Less(e, time.Since(began), 4*time.Second, "Close waits for a loop that has ended")
	select {
	case <-t.Done():
	case <-time.After(patience):
		e.Fatal("no end of the Transport")
	}
	_, err = t.Listen(e.Network, e.Address(), h, nil)
	var op *net.OpError
	require.ErrorAs(e, err, &op)
	assert.ErrorContains(e, err, "Goexit")
	c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), patience)
	if err == nil {
		_ = c.Close()
		e.Error("somebody listens still")
	} else {
		assert.True(e, errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT), "%v", err)
	}
}
