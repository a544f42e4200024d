package backendtest

import (
	"net"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on what one address may take of a listener.
var sourceRules = []Rule{
	{"S28_PerSourceMaxConns", perSourceMaxConns},
	{"S28_PerSourceRate", perSourceRate},
}

// listenPerSource listens with limits for each source. On a network without addresses of peers that is an error, and ok is
// false.
func listenPerSource(e *Env, h *Hooks, limits session.SourceLimits) (l session.Listener, ok bool) {
	e.Helper()
	h.env(e)
	l, err := e.Under().Listen(e.Network, e.Address(), h, &session.ListenOptions{PerSource: limits})
	if e.Network == "unix" || e.Network == "vsock" {
		var op *net.OpError
		require.ErrorAs(e, err, &op)
		assert.ErrorContains(e, err, "PerSource")
		return nil, false
	}
	require.NoError(e, err, "listen")
	return l, true
}

// rejected checks that a connection to the listener is reset.
func rejected(e *Env, l session.Listener, what string) {
	e.Helper()
	before := l.Stats().SourceRejected
	c, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	assert.ErrorIs(e, err, syscall.ECONNRESET, "Read of %s", what)
	assert.EqualValues(e, before+1, l.Stats().SourceRejected, "connections that were rejected")
}

// perSourceMaxConns has one address make more connections than it may have, and another one.
func perSourceMaxConns(e *Env) {
	h := NewHooks()
	l, ok := listenPerSource(e, h, session.SourceLimits{MaxConns: 2})
	if !ok {
		return
	}
	e.Connect(l.Addr())
	e.Connect(l.Addr())
	first := h.Opened()
	h.Opened()
	for range 3 {
		rejected(e, l, "a third connection of one source")
	}
	require.Equal(e, 2, h.Count("OnOpen"), "streams that were opened")
	another := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	if c, err := another.Dial("tcp", l.Addr().String()); err == nil { // not every system has the address
		h.Opened()
		require.NoError(e, c.Close())
	}
	require.NoError(e, first.Close(), "close")
	e.Eventually(func() bool { return l.Stats().Streams == 1 }, "one of its connections is left")
	p := e.Connect(l.Addr())
	h.Opened()
	_, err := p.Write([]byte("hello"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "what it wrote")
	assert.Zero(e, l.Stats().Rejected, "connections that MaxConns has rejected")
	require.NoError(e, l.Close(), "close the listener")
}

// perSourceRate has one address make more connections than its burst, of which none comes back while the rule runs.
func perSourceRate(e *Env) {
	const burst, day = 3, 24 * 60 * 60
	h := NewHooks()
	l, ok := listenPerSource(e, h, session.SourceLimits{Rate: 1.0 / day, Burst: burst})
	if !ok {
		return
	}
	for range burst {
		p := e.Connect(l.Addr())
		s := h.Opened()
		require.NoError(e, s.Close(), "close")
		require.NoError(e, p.Close(), "close the peer")
	}
	for range 3 {
		rejected(e, l, "a connection beyond the burst")
	}
	assert.EqualValues(e, burst, l.Stats().Accepted, "connections that were accepted")
	assert.Equal(e, burst, h.Count("OnOpen"), "streams that were opened")
	require.NoError(e, l.Close(), "close the listener")
}
