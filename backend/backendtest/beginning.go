package backendtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// The rules on how streams come about. Those on dials are in beginning_dial.go, beginning_connect.go and
// beginning_names.go, those on adoption in beginning_adopt.go.
var beginningRules = []Rule{
	{"S25_Listen", listen},
	{"S25_ListenTCP6", listenTCP6},
	{"S25_Control", listenControl},
	{"S25_AddressInUse", addressInUse},
	{"S25_StaleUnixFile", staleUnixFile},
	{"S25_OthersUnixFile", othersUnixFile},
	{"S25_FullBacklogIsAlive", fullBacklogIsAlive},
	{"S25_Arguments", listenArguments},
	{"S26_Dial", dial},
	{"S26_DialTCP6", dialTCP6},
	{"S26_Refused", refused},
	{"S26_ContextEnds", contextEnds},
	{"S26_Timeout", dialTimeout},
	{"S26_DialInCallback", dialInCallback},
	{"S26_Connect", connect},
	{"S26_ConnectInCallbacks", connectInCallbacks},
	{"S26_CloseBeforeConnected", closeBeforeConnected},
	{"S26_WriteBeforeOpen", writeBeforeOpen},
	{"S26_LocalAddr", dialLocalAddr},
	{"S26_Control", dialControl},
	{"S26_Arguments", dialArguments},
	{"S26_ManyDials", manyDials},
	{"S26_EveryAddress", everyAddress},
	{"S26_AttemptsRace", attemptsRace},
	{"S26_NoSuchName", noSuchName},
	{"S26_ContextEndsLookup", contextEndsLookup},
	{"S29_ClosingAListener", closingAListener},
	{"S29_CloseInCallback", closeListenerInCallback},
	{"S30_Adopt", adopt},
	{"S30_AdoptKeepsBytes", adoptKeepsBytes},
	{"S30_NotAStream", adoptNotAStream},
}

// once reports whether this Setup runs a rule for which the kinds of network, of peer and of opening do not matter.
func (e *Env) once() bool { return e.Network == "tcp" && !e.Dialled && e.Peers == nil }

// echo answers what comes.
func echo() *Hooks {
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		p, _ := s.Next(-1)
		_, _ = s.Write(p)
	}
	return h
}

// listenOn listens, with an echo.
func (e *Env) listenOn(network, address string, h *Hooks) session.Listener {
	e.Helper()
	h.env(e)
	l, err := e.Under().Listen(network, address, h, nil)
	require.NoError(e, err, "listen on %s %s", network, address)
	e.Cleanup(func() { _ = l.Close() })
	return l
}

// pingPong sends through a peer and expects the same back.
func (e *Env) pingPong(p Peer) {
	e.Helper()
	_, err := p.Write([]byte("ping"))
	require.NoError(e, err, "write")
	got := string(e.ReadAll(p, 4))
	require.Equal(e, "ping", got, "the answer")
}

// dialPlain connects a net.Conn.
func (e *Env) dialPlain(a net.Addr) Peer {
	e.Helper()
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	require.NoError(e, err, "dial %s", a)
	return e.plain(c)
}

// listen listens on each kind of address, and talks to whoever connects.
func listen(e *Env) {
	if !e.once() {
		return
	}
	for _, at := range [][2]string{
		{"tcp", "127.0.0.1:0"}, {"tcp4", "127.0.0.1:0"}, {"tcp", "localhost:0"}, {"unix", filepath.Join(e.TempDir(), "s")},
		{"unix", fmt.Sprintf("@tandem-%d-%s", os.Getpid(), e.Name)}, // abstract: no file
	} {
		e.listenAndTalk(at[0], at[1])
	}
}

// listenTCP6 listens on IPv6.
func listenTCP6(e *Env) {
	if !e.once() {
		return
	}
	e.needTCP6()
	e.listenAndTalk("tcp6", "[::1]:0")
	e.listenAndTalk("tcp", "[::1]:0")
}

func (e *Env) needTCP6() {
	e.Helper()
	l, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		e.Skipf("NOT TESTED: this host has no ::1: %v", err)
	}
	_ = l.Close()
}

func (e *Env) listenAndTalk(network, address string) {
	e.Helper()
	h := echo()
	l := e.listenOn(network, address, h)
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		require.NotZero(e, a.Port, "%s %s: Addr has no port: %v", network, address, a)
	}
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(e, err, "dial %v", l.Addr())
	p := e.plain(c)
	s := h.Opened()
	e.pingPong(p)
	assert.Equal(e, c.RemoteAddr().String(), s.LocalAddr().String(), "LocalAddr, and the peer's RemoteAddr")
	if network != "unix" {
		assert.Equal(e, c.LocalAddr().String(), s.RemoteAddr().String(), "RemoteAddr, and the peer's LocalAddr")
	}
	n := l.Stats().Accepted
	assert.EqualValues(e, 1, n, "connections that the listener counts")
	require.NoError(e, l.Close(), "close")
	if _, err := os.Lstat(address); network == "unix" {
		assert.Error(e, err, "Close left the socket's file")
	}
}

// listenControl gives Listen a Control function. It sees the socket before bind, and its error is the one of Listen.
func listenControl(e *Env) {
	if !e.once() {
		return
	}
	var calls atomic.Int32
	o := &session.ListenOptions{Control: func(network, address string, c syscall.RawConn) error {
		calls.Add(1)
		assert.Equal(e, "tcp4", network, "what Control is called for")
		assert.Equal(e, "127.0.0.1:0", address, "what Control is called for")
		return c.Control(func(fd uintptr) {
			a := backend.LocalAddress(int(fd))
			assert.Zero(e, a.IP.Port(), "Control sees a socket that is bound to %v", a.IP)
		})
	}}
	h := NewHooks()
	h.env(e)
	l, err := e.Under().Listen("tcp4", "127.0.0.1:0", h, o)
	require.NoError(e, err, "listen")
	require.NoError(e, l.Close(), "close")
	assert.EqualValues(e, 1, calls.Load(), "calls of Control")
	no := errors.New("not this one")
	o.Control = func(string, string, syscall.RawConn) error { return no }
	_, err = e.Under().Listen("tcp4", "127.0.0.1:0", h, o)
	assert.ErrorIs(e, err, no, "the error of Control came back as")
}

func (e *Env) inUse(err error) {
	e.Helper()
	var op *net.OpError
	require.ErrorAs(e, err, &op, "an address in use")
	assert.Equal(e, "listen", op.Op, "the operation of %v", err)
	assert.NotNil(e, op.Addr, "the address of %v", err)
	assert.ErrorIs(e, err, syscall.EADDRINUSE)
}

// addressInUse listens twice on one address. The second time is an error, and the first listener goes on.
func addressInUse(e *Env) {
	if !e.once() {
		return
	}
	for _, network := range []string{"tcp", "unix"} {
		address := "127.0.0.1:0"
		if network == "unix" {
			address = filepath.Join(e.TempDir(), "s")
		}
		ours := e.listenOn(network, address, echo())
		for range 2 {
			_, err := e.Under().Listen(network, ours.Addr().String(), NewHooks(), nil)
			e.inUse(err)
		}
		e.pingPong(e.dialPlain(ours.Addr())) // it has not suffered
		require.NoError(e, ours.Close(), "close")
		require.NoError(e, ours.Close(), "close again")

		theirs, err := net.Listen(network, ours.Addr().String())
		require.NoError(e, err, "an address that was closed is not free")
		_, err = e.Under().Listen(network, theirs.Addr().String(), NewHooks(), nil)
		e.inUse(err)
		require.NoError(e, theirs.Close(), "close theirs")
	}
}

// staleUnixFile listens where a dead process has left a socket file. It is replaced, and a file of somebody else is
// not removed.
func staleUnixFile(e *Env) {
	if !e.once() {
		return
	}
	path := filepath.Join(e.TempDir(), "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(e, err, "listen")
	dead.SetUnlinkOnClose(false)
	require.NoError(e, dead.Close(), "close")
	l := e.listenOn("unix", path, echo())
	e.pingPong(e.dialPlain(l.Addr()))

	// What somebody else puts there meanwhile is not removed.
	require.NoError(e, os.Remove(path), "remove")
	other, err := net.Listen("unix", path)
	require.NoError(e, err, "listen")
	require.NoError(e, l.Close(), "close")
	c, err := net.Dial("unix", path)
	if err != nil {
		e.Errorf("Close removed the socket of another listener: %v", err)
	} else {
		_ = c.Close()
	}
	require.NoError(e, other.Close(), "close")
}

// othersUnixFile looks for files that are in the way and must stay.
func othersUnixFile(e *Env) {
	if !e.once() {
		return
	}
	dir := e.TempDir()
	file, datagram := filepath.Join(dir, "file"), filepath.Join(dir, "datagram")
	require.NoError(e, os.WriteFile(file, []byte("precious"), 0o600), "write a file")
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagram, Net: "unixgram"})
	require.NoError(e, err, "listen")
	defer d.Close()
	link := filepath.Join(dir, "link")
	require.NoError(e, os.Symlink(file, link), "link")
	for _, path := range []string{file, datagram, link, dir} {
		before, err := os.Lstat(path)
		require.NoError(e, err, "stat")
		_, err = e.Under().Listen("unix", path, NewHooks(), nil)
		e.inUse(err)
		after, err := os.Lstat(path)
		assert.NoError(e, err, "%s was replaced", path)
		assert.True(e, os.SameFile(before, after), "%s was replaced: %v", path, err)
	}
	b, _ := os.ReadFile(file)
	assert.Equal(e, "precious", string(b), "the file")
}

// fullBacklogIsAlive has a listener whose backlog is full, so that a connect waits. Its file is not stale.
func fullBacklogIsAlive(e *Env) {
	if !e.once() {
		return
	}
	path := filepath.Join(e.TempDir(), "busy")
	busy, err := net.Listen("unix", path)
	require.NoError(e, err, "listen")
	defer busy.Close()
	e.fill(busy)
	_, err = e.Under().Listen("unix", path, NewHooks(), nil)
	e.inUse(err)
	_, err = os.Lstat(path)
	assert.NoError(e, err, "the file of a busy listener was removed")
}

// fill makes a listener's backlog full: whoever dials it waits.
func (e *Env) fill(l net.Listener) {
	e.Helper()
	raw, err := l.(syscall.Conn).SyscallConn()
	require.NoError(e, err, "raw listener")
	var shrinkErr error
	require.NoError(e, raw.Control(func(fd uintptr) { shrinkErr = shrinkBacklog(fd) }), "control")
	require.NoError(e, shrinkErr, "shrink the backlog")
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	require.NoError(e, err, "dial")
	e.Cleanup(func() { _ = c.Close() })
}

// listenArguments gives Listen arguments that cannot be. The error names the operation, the network, or the field.
func listenArguments(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	for network, address := range map[string]string{
		"": "127.0.0.1:0", "udp": "127.0.0.1:0", "unixgram": "/x", "tcp": "127.0.0.1", "tcp4": "[::1]:0", "tcp6": "127.0.0.1:0",
		"unix": strings.Repeat("long", 100),
	} {
		_, err := e.Under().Listen(network, address, h, nil)
		e.opError(err, "listen", network)
	}
	var unknown net.UnknownNetworkError
	_, err := e.Under().Listen("udp", "127.0.0.1:0", h, nil)
	assert.ErrorAs(e, err, &unknown, "an unknown network")
	_, err = e.Under().Listen("tcp", "127.0.0.1:0", nil, nil)
	assert.ErrorContains(e, err, "Handler", "without a Handler")
	for field, o := range impossibleStreamOptions {
		_, err := e.Under().Listen("tcp", "127.0.0.1:0", h, &session.ListenOptions{StreamOptions: o})
		assert.ErrorContains(e, err, field, "an impossible %s", field)
	}
}

// impossibleStreamOptions are stream options that are refused, by the field that the error must name.
var impossibleStreamOptions = map[string]session.StreamOptions{
	"ReadBufferLimit":  {ReadBufferLimit: -1},
	"WriteBufferLimit": {WriteBufferLimit: -1},
	"HighWater":        {WriteBufferLimit: 1000, HighWater: 1001},
	"LowWater":         {HighWater: 1000, LowWater: 1001},
	"IdleTimeout":      {IdleTimeout: -1},
	"TurnBudget":       {TurnBudget: -1},
}

// closingAListener closes a listener. Its address is free, nobody can connect, and its streams go on.
func closingAListener(e *Env) {
	if e.Dialled { // it is about accepted streams
		return
	}
	const streams = 10
	h := echo()
	l := e.listenOn(e.Network, e.Address(), h)
	var peers []Peer
	for range streams {
		peers = append(peers, e.Connect(l.Addr()))
	}
	for range streams {
		h.Opened()
	}
	require.NoError(e, l.Close(), "close")
	require.NoError(e, l.Close(), "close again")
	if c, err := net.Dial(l.Addr().Network(), l.Addr().String()); err == nil {
		_ = c.Close()
		e.Error("a closed listener can be reached")
	}
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	require.NoError(e, err, "the address is not free")
	require.NoError(e, again.Close(), "close")
	for _, p := range peers {
		e.pingPong(p)
	}
	h.StillOpen()
	n := l.Stats().Accepted
	assert.EqualValues(e, streams, n, "connections that the listener counts")
}

// closeListenerInCallback closes a listener in a callback of one of its streams.
func closeListenerInCallback(e *Env) {
	if e.Dialled {
		return
	}
	var l session.Listener
	listening := make(chan struct{})
	h := echo()
	h.Open = func(*session.Stream) {
		<-listening
		assert.NoError(e, l.Close(), "close in a callback")
	}
	l = e.listenOn(e.Network, e.Address(), h)
	close(listening)
	p := e.Connect(l.Addr())
	h.Opened()
	e.pingPong(p)
	require.NoError(e, l.Close(), "close again") // which waits until the address is free
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	require.NoError(e, err, "the address is not free")
	require.NoError(e, again.Close(), "close")
}
