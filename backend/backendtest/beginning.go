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

// once tells whether a rule for which the kind of network, of peer, and of opening does not matter runs in this Setup.
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
	e.Check(err, "listen on %s %s", network, address)
	e.Cleanup(func() { _ = l.Close() })
	return l
}

// pingPong sends through a peer and expects the same back.
func (e *Env) pingPong(p Peer) {
	e.Helper()
	_, err := p.Write([]byte("ping"))
	e.Check(err, "write")
	if got := string(e.ReadAll(p, 4)); got != "ping" {
		e.Fatalf("%q came back", got)
	}
}

// dialPlain connects a net.Conn.
func (e *Env) dialPlain(a net.Addr) Peer {
	e.Helper()
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	e.Check(err, "dial %s", a)
	return e.plain(c)
}

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
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.Port == 0 {
		e.Fatalf("%s %s: Addr has no port: %v", network, address, a)
	}
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	e.Check(err, "dial %v", l.Addr())
	p := e.plain(c)
	s := h.Opened()
	e.pingPong(p)
	if s.LocalAddr().String() != c.RemoteAddr().String() {
		e.Errorf("LocalAddr is %v; the peer's RemoteAddr is %v", s.LocalAddr(), c.RemoteAddr())
	}
	if network != "unix" && s.RemoteAddr().String() != c.LocalAddr().String() {
		e.Errorf("RemoteAddr is %v; the peer's LocalAddr is %v", s.RemoteAddr(), c.LocalAddr())
	}
	if n := l.Stats().Accepted; n != 1 {
		e.Errorf("the listener counts %d connections, not 1", n)
	}
	e.Check(l.Close(), "close")
	if _, err := os.Lstat(address); network == "unix" && err == nil {
		e.Error("Close left the socket's file")
	}
}

func listenControl(e *Env) {
	if !e.once() {
		return
	}
	var calls atomic.Int32
	o := &session.ListenOptions{Control: func(network, address string, c syscall.RawConn) error {
		calls.Add(1)
		if network != "tcp4" || address != "127.0.0.1:0" {
			e.Errorf("Control is called for %s %s", network, address)
		}
		return c.Control(func(fd uintptr) {
			if a := backend.LocalAddress(int(fd)); a.IP.Port() != 0 {
				e.Errorf("Control sees a socket that is bound to %v", a.IP)
			}
		})
	}}
	h := NewHooks()
	h.env(e)
	l, err := e.Under().Listen("tcp4", "127.0.0.1:0", h, o)
	e.Check(err, "listen")
	e.Check(l.Close(), "close")
	if calls.Load() != 1 {
		e.Errorf("Control was called %d times", calls.Load())
	}
	no := errors.New("not this one")
	o.Control = func(string, string, syscall.RawConn) error { return no }
	if _, err := e.Under().Listen("tcp4", "127.0.0.1:0", h, o); !errors.Is(err, no) {
		e.Errorf("the error of Control came back as %v", err)
	}
}

func (e *Env) inUse(err error) {
	e.Helper()
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "listen" || op.Addr == nil || !errors.Is(err, syscall.EADDRINUSE) {
		e.Errorf("an address in use gives %v (%T)", err, err)
	}
}

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
		e.Check(ours.Close(), "close")
		e.Check(ours.Close(), "close again")

		theirs, err := net.Listen(network, ours.Addr().String())
		e.Check(err, "an address that was closed is not free")
		_, err = e.Under().Listen(network, theirs.Addr().String(), NewHooks(), nil)
		e.inUse(err)
		e.Check(theirs.Close(), "close theirs")
	}
}

func staleUnixFile(e *Env) {
	if !e.once() {
		return
	}
	path := filepath.Join(e.TempDir(), "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	e.Check(err, "listen")
	dead.SetUnlinkOnClose(false)
	e.Check(dead.Close(), "close")
	l := e.listenOn("unix", path, echo())
	e.pingPong(e.dialPlain(l.Addr()))

	// What somebody else puts there meanwhile is not removed.
	e.Check(os.Remove(path), "remove")
	other, err := net.Listen("unix", path)
	e.Check(err, "listen")
	e.Check(l.Close(), "close")
	c, err := net.Dial("unix", path)
	if err != nil {
		e.Errorf("Close removed the socket of another listener: %v", err)
	} else {
		_ = c.Close()
	}
	e.Check(other.Close(), "close")
}

// othersUnixFile looks for files that are in the way and must stay.
func othersUnixFile(e *Env) {
	if !e.once() {
		return
	}
	dir := e.TempDir()
	file, datagram := filepath.Join(dir, "file"), filepath.Join(dir, "datagram")
	e.Check(os.WriteFile(file, []byte("precious"), 0o600), "write a file")
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagram, Net: "unixgram"})
	e.Check(err, "listen")
	defer d.Close()
	link := filepath.Join(dir, "link")
	e.Check(os.Symlink(file, link), "link")
	for _, path := range []string{file, datagram, link, dir} {
		before, err := os.Lstat(path)
		e.Check(err, "stat")
		_, err = e.Under().Listen("unix", path, NewHooks(), nil)
		e.inUse(err)
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			e.Errorf("%s was replaced: %v", path, err)
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		e.Errorf("the file has %q now", b)
	}
}

// fullBacklogIsAlive has a listener that is so busy that it cannot be reached. Somebody listens all the same.
func fullBacklogIsAlive(e *Env) {
	if !e.once() {
		return
	}
	path := filepath.Join(e.TempDir(), "busy")
	busy, err := net.Listen("unix", path)
	e.Check(err, "listen")
	defer busy.Close()
	e.fill(busy)
	_, err = e.Under().Listen("unix", path, NewHooks(), nil)
	e.inUse(err)
	if _, err := os.Lstat(path); err != nil {
		e.Errorf("the file of a busy listener was removed: %v", err)
	}
}

// fill makes a listener's backlog full: whoever dials it waits.
func (e *Env) fill(l net.Listener) {
	e.Helper()
	raw, err := l.(syscall.Conn).SyscallConn()
	e.Check(err, "raw listener")
	var shrinkErr error
	e.Check(raw.Control(func(fd uintptr) { shrinkErr = shrinkBacklog(fd) }), "control")
	e.Check(shrinkErr, "shrink the backlog")
	c, err := net.Dial(l.Addr().Network(), l.Addr().String())
	e.Check(err, "dial")
	e.Cleanup(func() { _ = c.Close() })
}

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
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "listen" || op.Net != network {
			e.Errorf("Listen(%q, %q): %v (%T)", network, address, err, err)
		}
	}
	var unknown net.UnknownNetworkError
	if _, err := e.Under().Listen("udp", "127.0.0.1:0", h, nil); !errors.As(err, &unknown) {
		e.Errorf("an unknown network gives %v", err)
	}
	if _, err := e.Under().Listen("tcp", "127.0.0.1:0", nil, nil); err == nil || !strings.Contains(err.Error(), "Handler") {
		e.Errorf("without a Handler: %v", err)
	}
	for field, o := range impossibleStreamOptions {
		_, err := e.Under().Listen("tcp", "127.0.0.1:0", h, &session.ListenOptions{StreamOptions: o})
		if err == nil || !strings.Contains(err.Error(), field) {
			e.Errorf("an impossible %s gives %v", field, err)
		}
	}
}

// impossibleStreamOptions by the field that an error must name.
var impossibleStreamOptions = map[string]session.StreamOptions{
	"ReadBufferLimit":  {ReadBufferLimit: -1},
	"WriteBufferLimit": {WriteBufferLimit: -1},
	"HighWater":        {WriteBufferLimit: 1000, HighWater: 1001},
	"LowWater":         {HighWater: 1000, LowWater: 1001},
	"IdleTimeout":      {IdleTimeout: -1},
	"TurnBudget":       {TurnBudget: -1},
}

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
	e.Check(l.Close(), "close")
	e.Check(l.Close(), "close again")
	if c, err := net.Dial(l.Addr().Network(), l.Addr().String()); err == nil {
		_ = c.Close()
		e.Error("a closed listener can be reached")
	}
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	e.Check(err, "the address is not free")
	e.Check(again.Close(), "close")
	for _, p := range peers {
		e.pingPong(p)
	}
	h.StillOpen()
	if n := l.Stats().Accepted; n != streams {
		e.Errorf("the listener counts %d connections, not %d", n, streams)
	}
}

func closeListenerInCallback(e *Env) {
	if e.Dialled {
		return
	}
	var l session.Listener
	listening := make(chan struct{})
	h := echo()
	h.Open = func(*session.Stream) {
		<-listening
		if err := l.Close(); err != nil {
			e.Errorf("close in a callback: %v", err)
		}
	}
	l = e.listenOn(e.Network, e.Address(), h)
	close(listening)
	p := e.Connect(l.Addr())
	h.Opened()
	e.pingPong(p)
	e.Check(l.Close(), "close again") // which waits until the address is free
	again, err := net.Listen(l.Addr().Network(), l.Addr().String())
	e.Check(err, "the address is not free")
	e.Check(again.Close(), "close")
}
