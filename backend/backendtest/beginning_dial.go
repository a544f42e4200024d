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

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// dialAndTalk dials with an echo as the handler and talks.
func (e *Env) dialAndTalk(network string, l net.Listener, address string) {
	e.Helper()
	h := echo()
	h.env(e)
	s, err := e.Under().Dial(e.patient(), network, address, h, nil)
	e.Check(err, "dial %s %s", network, address)
	c, err := l.Accept()
	e.Check(err, "accept")
	if h.Opened() != s {
		e.Error("OnOpen was called for another stream")
	}
	if s.RemoteAddr().String() != c.LocalAddr().String() {
		e.Errorf("RemoteAddr is %v; the peer's LocalAddr is %v", s.RemoteAddr(), c.LocalAddr())
	}
	e.pingPong(e.plain(c))
}

func (e *Env) listenPlain(network, address string) net.Listener {
	e.Helper()
	l, err := net.Listen(network, address)
	e.Check(err, "listen")
	e.Cleanup(func() { _ = l.Close() })
	return l
}

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
	e.Check(err, "dial from a LocalAddr that says nothing")
}

// dialError checks that err is of a dial, and that it is want.
func (e *Env) dialError(err error, network string, want error) {
	e.Helper()
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" || op.Net != network || !errors.Is(err, want) {
		e.Errorf("dial %s: %v (%T), want %v in a *net.OpError", network, err, err, want)
	}
}

func refused(e *Env) {
	if !e.once() {
		return
	}
	f, port, err := bound()
	e.Check(err, "bind")
	defer f.Close()
	dir := e.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	e.Check(err, "listen")
	l.SetUnlinkOnClose(false)
	e.Check(l.Close(), "close")
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
		if s != nil || h.Count("OnClose") != 0 {
			e.Error("Dial failed, and yet there is a stream")
		}
		_, err = e.Under().Connect(to.network, to.address, h, nil)
		e.Check(err, "connect")
		e.dialError(h.Closed(), to.network, to.want)
		if h.Count("OnOpen") != 0 {
			e.Error("OnOpen of a connection that was refused")
		}
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
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		e.Errorf("Timeout() of %v is false", err)
	}
	e.settled(t)
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
	if h.Count("OnOpen")+h.Count("OnClose") != 0 {
		e.Error("there were callbacks, although Dial never returned a stream")
	}
}

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
	if d := time.Since(began); d < timeout {
		e.Errorf("it timed out after %v already", d)
	}
	_, err = e.Under().Connect("tcp", address, h, o)
	e.Check(err, "connect")
	e.dialError(h.Closed(), "tcp", os.ErrDeadlineExceeded)

	// A dial that is over in time is not disturbed later.
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, err = e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{Timeout: patience})
	e.Check(err, "dial")
	e.settledStreams(1)
}

func (e *Env) settledStreams(n int) {
	e.Helper()
	e.Eventually(func() bool { return e.Under().Stats().Streams == e.others(e.Under())+n }, "%d streams", n)
}

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
	if err := arrives(e, failed); err == nil {
		e.Error("Dial in a callback returned no error")
	}
	_, err := p.Write([]byte("alive"))
	e.Check(err, "write")
	e.Eventually(func() bool { return h.Len() == 5 }, "bytes")
}

func dialLocalAddr(e *Env) {
	if !e.once() {
		return
	}
	h := NewHooks()
	h.env(e)
	l := e.listenPlain("tcp", "127.0.0.1:0")
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	s, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: from})
	e.Check(err, "dial")
	c, err := l.Accept()
	e.Check(err, "accept")
	e.plain(c)
	if a := c.RemoteAddr().(*net.TCPAddr); !a.IP.Equal(from.IP) || s.LocalAddr().String() != a.String() {
		e.Errorf("it was dialled from %v, and LocalAddr is %v", a, s.LocalAddr())
	}

	dir := e.TempDir()
	u := e.listenPlain("unix", filepath.Join(dir, "to"))
	named := &net.UnixAddr{Name: filepath.Join(dir, "from"), Net: "unix"}
	_, err = e.Under().Dial(e.patient(), "unix", u.Addr().String(), h, &session.DialOptions{LocalAddr: named})
	e.Check(err, "dial")
	c, err = u.Accept()
	e.Check(err, "accept")
	e.plain(c)
	if c.RemoteAddr().String() != named.Name {
		e.Errorf("it was dialled from %v", c.RemoteAddr())
	}

	for _, wrong := range []net.Addr{
		&net.UDPAddr{IP: from.IP}, &net.TCPAddr{IP: net.IPv6loopback}, named, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 77)},
	} {
		s, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, &session.DialOptions{LocalAddr: wrong})
		var op *net.OpError
		if !errors.As(err, &op) || s != nil {
			e.Errorf("dial from %v (%T): %v", wrong, wrong, err)
		}
	}
}

func dialControl(e *Env) {
	if e.Peers != nil {
		return
	}
	l := e.listenPlain(e.Network, e.Address())
	want := l.Addr().String()
	var calls atomic.Int32
	o := &session.DialOptions{Control: func(network, address string, c syscall.RawConn) error {
		calls.Add(1)
		if !strings.HasPrefix(network, e.Network) || address != want {
			e.Errorf("Control is called for %s %s", network, address)
		}
		return c.Control(func(fd uintptr) {
			if a := backend.RemoteAddress(int(fd)); a.Kind != backend.NoAddress {
				e.Errorf("Control sees a socket that is connected to %v", a)
			}
		})
	}}
	h := NewHooks()
	h.env(e)
	_, err := e.Under().Dial(e.patient(), e.Network, want, h, o)
	e.Check(err, "dial")
	if calls.Load() != 1 {
		e.Errorf("Control was called %d times", calls.Load())
	}
	no := errors.New("not this one")
	o.Control = func(string, string, syscall.RawConn) error { return no }
	_, err = e.Under().Dial(e.patient(), e.Network, want, h, o)
	e.dialError(err, e.Network, no)
}

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
			var op *net.OpError
			if !errors.As(err, &op) || op.Op != "dial" || op.Net != network {
				e.Errorf("dial %q %q: %v (%T)", network, address, err, err)
			}
		}
	}
	long := "/" + strings.Repeat("long", 100)
	_, err := e.Under().Dial(e.patient(), "unix", long, h, nil)
	e.dialError(err, "unix", syscall.EINVAL)
	if _, err := e.Under().Connect("tcp", "127.0.0.1:1", nil, nil); err == nil || !strings.Contains(err.Error(), "Handler") {
		e.Errorf("without a Handler: %v", err)
	}
	for field, o := range impossibleStreamOptions {
		_, err := e.Under().Connect("tcp", "127.0.0.1:1", h, &session.DialOptions{StreamOptions: o})
		if err == nil || !strings.Contains(err.Error(), field) {
			e.Errorf("an impossible %s gives %v", field, err)
		}
	}
	if h.Count("OnClose") != 0 {
		e.Error("OnClose of a dial that was refused by its arguments")
	}
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
			e.Check(s.Close(), "close")
		}
	}
	if len(ids) != dials || slices.Contains(streams, nil) {
		e.Errorf("%d IDs of %d streams", len(ids), dials)
	}
	e.settledStreams(0)
}
