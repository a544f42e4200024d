package backendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// dialAndTalk dials with an echo as the handler and talks.
func (e *Env) dialAndTalk(network string, l net.Listener, address string) {
	e.Helper()
	h := echo()
	h.env(e)
	s, err := e.Under().Dial(e.patient(), network, address, h, nil)
	require.NoError(e, err, "dial %s %s", network, address)
	c, err := l.Accept()
	require.NoError(e, err, "accept")
	assert.Same(e, s, h.Opened(), "OnOpen was called for another stream")
	assert.Equal(e, c.LocalAddr().String(), s.RemoteAddr().String(), "RemoteAddr, and the peer's LocalAddr")
	e.pingPong(e.plain(c))
}

func (e *Env) listenPlain(network, address string) net.Listener {
	e.Helper()
	l, err := net.Listen(network, address)
	require.NoError(e, err, "listen")
	e.Cleanup(func() { _ = l.Close() })
	return l
}

// dial dials each kind of address, and talks.
func dial(e *Env) {
	if !e.once() {
		return
	}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, address := range []string{l.Addr().String(), "localhost:" + port, ":" + port} {
		e.dialAndTalk("tcp", l, address)
		e.dialAndTalk("tcp4", l, address)
	}
	path := filepath.Join(e.TempDir(), "s")
	e.dialAndTalk("unix", e.listenPlain("unix", path), path)
	abstract := fmt.Sprintf("@tandem-%d-%s", os.Getpid(), e.Name)
	e.dialAndTalk("unix", e.listenPlain("unix", abstract), abstract)
}

// dialTCP6 dials on IPv6.
func dialTCP6(e *Env) {
	if !e.once() {
		return
	}
	e.needTCP6()
	l := e.listenPlain("tcp6", "[::1]:0")
	e.dialAndTalk("tcp6", l, l.Addr().String())
	e.dialAndTalk("tcp", l, l.Addr().String())
	h := NewHooks()
	h.env(e)
	_, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: &net.TCPAddr{}})
	require.NoError(e, err, "dial from a LocalAddr that says nothing")
}

// dialError checks that err is the *net.OpError of a dial, and that it is want.
func (e *Env) dialError(err error, network string, want error) {
	e.Helper()
	e.opError(err, "dial", network)
	assert.ErrorIs(e, err, want, "dial %s", network)
}

// refused dials where nobody listens. Dial and OnClose have the same error, with the operation and the network.
func refused(e *Env) {
	if !e.once() {
		return
	}
	f, port, err := bound()
	require.NoError(e, err, "bind")
	defer f.Close()
	dir := e.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	require.NoError(e, err, "listen")
	l.SetUnlinkOnClose(false)
	require.NoError(e, l.Close(), "close")
	for _, to := range []struct {
		network, address string
		want             error
	}{
		{"tcp", port.String(), syscall.ECONNREFUSED},
		{"tcp", fmt.Sprintf("localhost:%d", port.Port), syscall.ECONNREFUSED},
		{"unix", stale, syscall.ECONNREFUSED},
		{"unix", filepath.Join(dir, "none"), syscall.ENOENT},
	} {
		h := NewHooks()
		h.env(e)
		s, err := e.Under().Dial(e.patient(), to.network, to.address, h, nil)
		e.dialError(err, to.network, to.want)
		assert.Nil(e, s, "Dial failed, and yet there is a stream")
		assert.Zero(e, h.Count("OnClose"), "Dial failed, and yet there is a stream")
		_, err = e.Under().Connect(to.network, to.address, h, nil)
		require.NoError(e, err, "connect")
		e.dialError(h.Closed(), to.network, to.want)
		assert.Zero(e, h.Count("OnOpen"), "OnOpen of a connection that was refused")
	}
}

// unreachable is an address on this host where a dial waits: nobody accepts, and the backlog is full.
func (e *Env) unreachable() string {
	e.Helper()
	l := e.listenPlain("tcp", "127.0.0.1:0")
	e.fill(l)
	return l.Addr().String()
}

// settled waits until a Transport has no socket left, while it is still open.
func (e *Env) settled(t *session.Engine) {
	e.Helper()
	e.Eventually(func() bool { return t.Stats().Sockets == e.others(t) && t.Stats().Streams == e.others(t) }, "no sockets")
}

// contextEnds ends the context of a dial before it begins and while it waits. Dial returns why, and nothing is left.
func contextEnds(e *Env) {
	if !e.once() {
		return
	}
	t := e.Under()
	address := e.unreachable()
	before := len(takeCensus().files)
	h := NewHooks()
	h.env(e)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := t.Dial(ctx, "tcp", address, h, nil)
	e.dialError(err, "tcp", context.Canceled)

	ctx, cancel = context.WithCancel(context.Background())
	time.AfterFunc(2*time.Millisecond, cancel)
	_, err = t.Dial(ctx, "tcp", address, h, nil)
	e.dialError(err, "tcp", context.Canceled)

	ctx, cancel = context.WithTimeout(context.Background(), 2*time.Millisecond)
	defer cancel()
	_, err = t.Dial(ctx, "tcp", address, h, nil)
	e.dialError(err, "tcp", context.DeadlineExceeded)
	var timeout net.Error
	require.ErrorAs(e, err, &timeout)
	assert.True(e, timeout.Timeout(), "Timeout() of %v", err)
	e.settled(t)
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
	assert.Zero(e, h.Count("OnOpen")+h.Count("OnClose"), "there were callbacks, although Dial never returned a stream")
}

// dialTimeout dials where nobody answers. The dial ends when DialOptions.Timeout has passed, and not before.
func dialTimeout(e *Env) {
	if !e.once() {
		return
	}
	address := e.unreachable()
	h := NewHooks()
	h.env(e)
	const timeout = 20 * time.Millisecond
	o := &session.DialOptions{Timeout: timeout}
	began := time.Now()
	_, err := e.Under().Dial(e.patient(), "tcp", address, h, o)
	e.dialError(err, "tcp", os.ErrDeadlineExceeded)
	d := time.Since(began)
	assert.GreaterOrEqual(e, d, timeout, "the time after which it timed out")
	_, err = e.Under().Connect("tcp", address, h, o)
	require.NoError(e, err, "connect")
	e.dialError(h.Closed(), "tcp", os.ErrDeadlineExceeded)

	// A dial that has ended in time is not disturbed later.
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, err = e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{Timeout: patience})
	require.NoError(e, err, "dial")
	e.settledStreams(1)
}

func (e *Env) settledStreams(n int) {
	e.Helper()
	e.Eventually(func() bool { return e.Under().Stats().Streams == e.others(e.Under())+n }, "%d streams", n)
}

// dialInCallback calls Dial, which waits, in a callback. It is an error.
func dialInCallback(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	l := e.listenPlain("tcp", "127.0.0.1:0")
	failed := make(chan error, 1)
	h := NewHooks()
	h.Open = func(*session.Stream) {
		_, err := t.Dial(e.patient(), "tcp", l.Addr().String(), NewHooks(), nil)
		failed <- err
	}
	_, p := e.PairOn(t, h, session.StreamOptions{})
	assert.Error(e, arrives(e, failed), "Dial in a callback returned no error")
	_, err := p.Write([]byte("alive"))
	require.NoError(e, err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
}

// dialLocalAddr dials from an address of its own, and from addresses that cannot be.
func dialLocalAddr(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	h.env(e)
	l := e.listenPlain("tcp", "127.0.0.1:0")
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	s, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: from})
	require.NoError(e, err, "dial")
	c, err := l.Accept()
	require.NoError(e, err, "accept")
	e.plain(c)
	a := c.RemoteAddr().(*net.TCPAddr)
	assert.True(e, a.IP.Equal(from.IP), "LocalAddr, and where it was dialled from")
	assert.Equal(e, a.String(), s.LocalAddr().String(), "LocalAddr, and where it was dialled from")

	dir := e.TempDir()
	u := e.listenPlain("unix", filepath.Join(dir, "to"))
	named := &net.UnixAddr{Name: filepath.Join(dir, "from"), Net: "unix"}
	_, err = e.Under().Dial(e.patient(), "unix", u.Addr().String(), h, &session.DialOptions{LocalAddr: named})
	require.NoError(e, err, "dial")
	c, err = u.Accept()
	require.NoError(e, err, "accept")
	e.plain(c)
	assert.Equal(e, named.Name, c.RemoteAddr().String(), "where it was dialled from")

	for _, wrong := range []net.Addr{
		&net.UDPAddr{IP: from.IP}, &net.TCPAddr{IP: net.IPv6loopback}, named, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77)},
	} {
		s, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: wrong})
		var op *net.OpError
		assert.ErrorAs(e, err, &op, "dial from %v", wrong)
		assert.Nil(e, s, "the stream of a dial from %v", wrong)
	}
}

// dialControl gives Dial a Control function. It sees the socket before connect, and its error is the one of Dial.
func dialControl(e *Env) {
	if e.Peers != nil {
		return
	}
	l := e.listenPlain(e.Network, e.Address())
	want := l.Addr().String()
	var calls atomic.Int32
	o := &session.DialOptions{Control: func(network, address string, c syscall.RawConn) error {
		calls.Add(1)
		assert.True(e, strings.HasPrefix(network, e.Network), "what Control is called for")
		assert.Equal(e, want, address, "what Control is called for")
		return c.Control(func(fd uintptr) {
			assert.Zero(e, backend.RemoteAddress(int(fd)).Kind, "the kind of the peer's address when Control sees the socket")
		})
	}}
	h := NewHooks()
	h.env(e)
	_, err := e.Under().Dial(e.patient(), e.Network, want, h, o)
	require.NoError(e, err, "dial")
	assert.EqualValues(e, 1, calls.Load(), "calls of Control")
	no := errors.New("not this one")
	o.Control = func(string, string, syscall.RawConn) error { return no }
	_, err = e.Under().Dial(e.patient(), e.Network, want, h, o)
	e.dialError(err, e.Network, no)
}

// dialArguments gives Dial and Connect arguments that cannot be. The error names the operation, the network, or the
// field.
func dialArguments(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	h.env(e)
	for network, address := range map[string]string{
		"": "127.0.0.1:1", "udp": "127.0.0.1:1", "unixgram": "/x", "tcp": "127.0.0.1", "tcp4": "[::1]:1", "tcp6": "127.0.0.1:1",
		"unix": "",
	} {
		_, err := e.Under().Dial(e.patient(), network, address, h, nil)
		_, connectErr := e.Under().Connect(network, address, h, nil)
		for _, err := range []error{err, connectErr} {
			e.opError(err, "dial", network)
		}
	}
	long := "/" + strings.Repeat("long", 100)
	_, err := e.Under().Dial(e.patient(), "unix", long, h, nil)
	e.dialError(err, "unix", syscall.EINVAL)
	_, err = e.Under().Connect("tcp", "127.0.0.1:1", nil, nil)
	assert.ErrorContains(e, err, "Handler", "without a Handler")
	for field, o := range impossibleStreamOptions {
		_, err := e.Under().Connect("tcp", "127.0.0.1:1", h, &session.DialOptions{StreamOptions: o})
		assert.ErrorContains(e, err, field, "an impossible %s", field)
	}
	assert.Zero(e, h.Count("OnClose"), "OnClose of a dial that was refused by its arguments")
}

// manyDials dials to the Transport itself from many goroutines.
func manyDials(e *Env) {
	if e.Peers != nil {
		return
	}
	const dials = 100
	server := e.listenOn(e.Network, e.Address(), echo())
	h := NewHooks()
	h.env(e)
	var wg sync.WaitGroup
	streams := make([]*session.Stream, dials)
	for i := range dials {
		wg.Go(func() {
			s, err := e.Under().Dial(e.patient(), e.Network, server.Addr().String(), h, nil)
			if err != nil {
				e.Errorf("dial: %v", err)
				return
			}
			_, _ = s.Write([]byte("x"))
			streams[i] = s
		})
	}
	wg.Wait()
	e.Eventually(func() bool { return h.Len() == dials }, "an answer for each")
	ids := map[uint64]bool{}
	for _, s := range streams {
		if s != nil {
			ids[s.ID()] = true
			require.NoError(e, s.Close(), "close")
		}
	}
	assert.False(e, len(ids) != dials || slices.Contains(streams, nil), "%d IDs of %d streams", len(ids), dials)
	e.settledStreams(0)
}
