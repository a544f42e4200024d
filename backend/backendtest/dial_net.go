package backendtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// Rules on dials that must do what package net does.
var dialNetRules = []Rule{
	{"S26_AsNet", asNet},
	{"S26_ErrorsNameWhatWasTried", errorsNameAddresses},
	{"S26_NegativeTimeout", negativeTimeout},
	{"S26_OneFamily", oneFamily},
	{"S26_CallersNamespace", callersNamespace},
	{"S26_SameLoop", sameLoop},
}

// outcome is what came of a dial, in words that can be compared.
func outcome(from, to net.Addr, err error) string {
	if err == nil {
		local := strings.TrimPrefix(from.String(), "@") // how package net writes no name
		if a, ok := from.(*net.TCPAddr); ok {
			local = a.IP.String() // the port is another each time
		}
		return fmt.Sprintf("connected, %s to %s", local, to)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		return fmt.Sprintf("%T: %v", err, err)
	}
	cause := op.Err.Error()
	var errno syscall.Errno
	var wrong *net.AddrError
	switch {
	case errors.As(err, &errno):
		cause = errno.Error()
	case errors.As(err, &wrong):
		cause = wrong.Err
	}
	address := fmt.Sprint(op.Addr)
	if a, ok := op.Addr.(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		address = fmt.Sprintf(":%d", a.Port) // as package net writes what it was not given
	}
	return fmt.Sprintf("%s %s, source %v, address %s: %s", op.Op, op.Net, op.Source, address, cause)
}

// dialled is the network and address of a dial.
type dialled struct{ network, address string }

// reachable has listeners, and returns addresses of all kinds, in all networks, some of which can be reached.
func (e *Env) reachable() (all []dialled) {
	e.Helper()
	names{"both.test.": {netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}, "four.test.": loopbacks(1), "six.test.": {netip.IPv6Loopback()}}.use(e)
	f, refusing, err := bound()
	require.NoError(e, err)
	e.Cleanup(func() { _ = f.Close() })
	ports := []string{fmt.Sprint(refusing.Port)}
	for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
		if l, err := net.Listen("tcp", at); err == nil {
			e.Cleanup(func() { _ = l.Close() })
			go drop(l)
			_, port, _ := net.SplitHostPort(l.Addr().String())
			ports = append(ports, port)
		}
	}
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		for _, host := range []string{"", "127.0.0.1", "0.0.0.0", "[::]", "[::1]", "[::ffff:127.0.0.1]", "both.test.", "four.test.", "six.test."} {
			for _, port := range ports {
				all = append(all, dialled{network, host + ":" + port})
			}
		}
		all = append(all, dialled{network, "127.0.0.1"}, dialled{network, "127.0.0.1:none-such"}, dialled{network, "127.0.0.1:65536"})
	}
	path := filepath.Join(e.TempDir(), "s")
	go drop(e.listenPlain("unix", path))
	return append(all, dialled{"unix", path}, dialled{"unix", path + "none"}, dialled{"none", "x"})
}

// asNet dials every kind of address in every network from every kind of local address, and has net.Dialer do the same.
func asNet(e *Env) {
	if !e.once() {
		return
	}
	compare := func(to dialled, local net.Addr) {
		e.Helper()
		var want, got string
		for range 3 { // Linux sometimes has no port although there are some, when many connections have just ended
			if c, err := (&net.Dialer{LocalAddr: local, Timeout: patience}).Dial(to.network, to.address); err != nil {
				want = outcome(nil, nil, err)
			} else {
				want = outcome(c.LocalAddr(), c.RemoteAddr(), nil)
				_ = c.Close()
			}
			if got = e.outcomeOf(to.network, to.address, &session.DialOptions{LocalAddr: local}); got == want {
				break
			}
		}
		assert.Equal(e, want, got, "dial %s %q from %T %v", to.network, to.address, local, local)
	}
	all := e.reachable()
	var none *net.TCPAddr
	for _, local := range []net.Addr{nil, none, &net.TCPAddr{}, &net.TCPAddr{IP: net.IPv4zero}} {
		for _, to := range all {
			compare(to, local)
		}
	}
	for _, ip := range []net.IP{net.IPv4(127, 0, 0, 2), net.IPv4(192, 0, 2, 1), net.IPv6loopback} {
		for _, to := range all {
			if !unspecified(to.address) { // seen from an address, what the local system is the kernel decides
				compare(to, &net.TCPAddr{IP: ip})
			}
		}
	}
	for _, wrong := range []net.Addr{&net.UDPAddr{}, &net.UnixAddr{Net: "unix", Name: "@x"}, &net.UnixAddr{Net: "unixgram", Name: "@y"}, &net.TCPAddr{}} {
		compare(dialled{"tcp", "127.0.0.1:1"}, wrong)
		if a, ok := wrong.(*net.UnixAddr); !ok || a.Net != "unix" {
			compare(dialled{"unix", "/none"}, wrong)
		}
	}
	compare(dialled{"unix", "/none"}, &net.UnixAddr{Net: "unix"})
}

// unspecified reports whether an address means the local system.
func unspecified(address string) bool {
	host, _, _ := net.SplitHostPort(address)
	return host == "" || host == "0.0.0.0" || host == "::"
}

// outcomeOf dials, and aborts what was connected.
func (e *Env) outcomeOf(network, address string, o *session.DialOptions) string {
	e.Helper()
	h := NewHooks()
	h.env(e)
	s, err := e.Under().Dial(e.patient(), network, address, h, o)
	if err != nil {
		return outcome(nil, nil, err)
	}
	defer func() { _ = s.Abort() }()
	return outcome(s.LocalAddr(), s.RemoteAddr(), nil)
}

// errorsNameAddresses looks at the addresses in errors of dials that end before they are decided: the one that is
// preferred, or none, if it is not known yet.
func errorsNameAddresses(e *Env) {
	if !e.once() {
		return
	}
	dead, other := e.samePort("127.0.0.8", "127.0.0.9")
	e.fill(dead)
	e.fill(other)
	_, port, _ := net.SplitHostPort(dead.Addr().String())
	from := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	for _, host := range []string{"127.0.0.8", "two.test.", "mute.test."} {
		asked := make(chan struct{}, 1000)
		inner := names{"two.test.": loopbacks(8, 9), "mute.test.": nil}.resolver(e)
		o := &session.DialOptions{LocalAddr: from, Resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host == "mute.test." {
				asked <- struct{}{}
			}
			return inner.Dial(ctx, network, address)
		}}}
		o.Control = func(string, string, syscall.RawConn) error { asked <- struct{}{}; return nil }
		check := func(err error) {
			e.Helper()
			var op *net.OpError
			require.ErrorAs(e, err, &op, host)
			if host == "mute.test." {
				require.Nil(e, op.Addr)
				require.Nil(e, op.Source)
				return
			}
			require.Equal(e, dead.Addr().String(), fmt.Sprint(op.Addr), host)
			require.Equal(e, net.Addr(from), op.Source, host)
		}
		address := net.JoinHostPort(host, port)
		ctx, cancel := context.WithCancel(context.Background())
		result := e.begins(ctx, e.Under(), true, address, o)
		arrives(e, asked)
		cancel()
		check(arrives(e, result))
		for _, wait := range []bool{true, false} {
			t := e.Open(nil)
			result := e.begins(context.Background(), t, wait, address, o)
			arrives(e, asked)
			require.NoError(e, t.Close())
			check(arrives(e, result))
		}
		if host != "two.test." { // whose address is known in time or not
			timed := *o
			timed.Timeout = moment
			check(arrives(e, e.begins(context.Background(), e.Under(), true, address, &timed)))
			check(arrives(e, e.begins(context.Background(), e.Under(), false, address, &timed)))
		}
	}
}

// negativeTimeout dials when the time is over already, as it may be that it was computed.
func negativeTimeout(e *Env) {
	if !e.once() {
		return
	}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	go drop(l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	o := &session.DialOptions{
		Timeout: -time.Second, Resolver: names{"one.test.": loopbacks(1), "mute.test.": nil}.resolver(e),
		Control: func(string, string, syscall.RawConn) error { e.Error("a socket was made"); return nil },
	}
	h := NewHooks()
	h.env(e)
	for _, host := range []string{"127.0.0.1:", "one.test.:", "mute.test.:"} {
		_, err := e.Under().Dial(context.Background(), "tcp", host+port, h, o)
		e.dialTimedOut(err)
		_, err = e.Under().Connect("tcp", host+port, h, o)
		require.NoError(e, err)
		e.dialTimedOut(h.Closed())
	}
	require.Zero(e, h.Count("OnOpen"))
}

// oneFamily dials names with addresses of both families, and with a name server that is silent about one.
func oneFamily(e *Env) {
	if !e.once() {
		return
	}
	f, refusing, err := bound()
	require.NoError(e, err)
	defer f.Close()
	n := names{"both.test.": {netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}, "mute6.test.": append(loopbacks(1), netip.Addr{})}
	var mu sync.Mutex
	var seen []string
	o := session.DialOptions{Resolver: n.resolver(e), Control: func(network, address string, _ syscall.RawConn) error {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, network)
		return nil
	}}
	from := func(local net.Addr) session.DialOptions {
		with := o
		with.LocalAddr = local
		return with
	}
	for _, c := range []struct {
		network, host string
		o             session.DialOptions
		want          []string
	}{
		{"tcp", "both.test.", o, []string{"tcp6", "tcp4"}},
		{"tcp4", "both.test.", o, []string{"tcp4"}},
		{"tcp6", "both.test.", o, []string{"tcp6"}},
		{"tcp4", "mute6.test.", o, []string{"tcp4"}},
		{"tcp", "both.test.", from(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}), []string{"tcp4"}},
		{"tcp", "both.test.", from(&net.TCPAddr{IP: net.IPv6loopback}), []string{"tcp6"}},
		{"tcp", "both.test.", from(&net.TCPAddr{IP: net.IPv6unspecified}), []string{"tcp6", "tcp4"}},
	} {
		seen = nil
		h := NewHooks()
		h.env(e)
		_, err = e.Under().Dial(e.patient(), c.network, fmt.Sprintf("%s:%d", c.host, refusing.Port), h, &c.o)
		require.Error(e, err)
		mu.Lock()
		slices.Sort(seen)
		slices.Sort(c.want)
		require.Equal(e, c.want, seen, "%s %s from %v", c.network, c.host, c.o.LocalAddr)
		mu.Unlock()
	}
}

// callersNamespace dials in another network namespace than the loops are in.
func callersNamespace(e *Env) {
	if !e.once() {
		return
	}
	t, h := e.Under(), NewHooks()
	h.env(e)
	entered, connected := make(chan error, 1), make(chan error, 3)
	go func() {
		err := enterNamespace()
		entered <- err
		if err != nil {
			return
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if !assert.NoError(e, err) {
			return
		}
		defer l.Close()
		go drop(l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		o := &session.DialOptions{Resolver: names{"one.test.": loopbacks(1)}.resolver(e)}
		for _, host := range []string{"127.0.0.1:", "one.test.:"} {
			s, err := t.Dial(e.patient(), "tcp", host+port, h, o)
			if err == nil {
				err = s.Abort()
			}
			connected <- err
		}
		_, err = t.Connect("tcp", l.Addr().String(), h, o)
		connected <- err
		h.Opened()
		h.Opened()
		_ = h.Opened().Abort()
	}()
	if err := arrives(e, entered); err != nil {
		e.Skipf("NOT TESTED: no network namespaces: %v", err)
	}
	for range 3 {
		require.NoError(e, arrives(e, connected))
	}
	for range 3 {
		h.Closed()
	}
}

// sameLoop dials for streams, and wants the new ones beside them, while other dials are spread.
func sameLoop(e *Env) {
	if !e.once() {
		return
	}
	server := e.listenOn("tcp", "127.0.0.1:0", echo())
	_, port, _ := net.SplitHostPort(server.Addr().String())
	t := e.Open(func(o *Options) { o.Loops = 3 })
	resolver := names{"one.test.": loopbacks(1)}.resolver(e)
	h := NewHooks()
	h.env(e)
	for range 5 {
		first, err := t.Dial(e.patient(), "tcp", server.Addr().String(), h, nil)
		require.NoError(e, err)
		for _, host := range []string{"127.0.0.1:", "one.test.:"} {
			o := &session.DialOptions{SameLoop: first, Resolver: resolver}
			second, err := t.Dial(e.patient(), "tcp", host+port, h, o)
			require.NoError(e, err)
			require.Equal(e, first.Loop(), second.Loop())
			third := make(chan *session.Stream, 1)
			e.onLoop(first, func() {
				s, err := t.Connect("tcp", host+port, h, o)
				if err == nil {
					third <- s
				}
			})
			require.Equal(e, first.Loop(), arrives(e, third).Loop())
		}
	}
	other := e.Open(nil)
	s, err := t.Dial(e.patient(), "tcp", server.Addr().String(), h, nil)
	require.NoError(e, err)
	o := &session.DialOptions{SameLoop: s}
	_, err = other.Dial(e.patient(), "tcp", server.Addr().String(), h, o)
	require.ErrorContains(e, err, "SameLoop")
	_, err = other.Connect("tcp", server.Addr().String(), h, o)
	require.ErrorContains(e, err, "SameLoop")
	require.NoError(e, s.Close())
	e.Eventually(func() bool { return h.Count("OnClose") > 0 }, "OnClose")
	_, err = t.Dial(e.patient(), "tcp", server.Addr().String(), h, o)
	require.NoError(e, err, "beside a stream that has ended")
}
