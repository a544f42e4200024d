package backendtest

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// The rules on socket options: what the kernel has, on every kind of socket.
var optionRules = []Rule{
	{"X01_SocketOptions", optionsOfListener},
	{"X01_SocketOptionsDialled", optionsOfDial},
	{"X01_SocketOptionsLive", optionsOfStream},
	{"X01_SocketOptionsIPv6", optionsIPv6},
	{"X02_SocketOptionsRefused", optionsRefused},
	{"X02_SocketOptionsWhileEnding", optionsWhileEnding},
	{"X03_Linger", lingerResets},
}

// optionCase is an option, and where it may be set.
type optionCase struct {
	set  backend.SocketOption
	live backend.SocketOption // another value, for a live stream; zero: it cannot be set there
	at   backend.SocketPlace
}

const everywhere = backend.OnListener | backend.OnDial | backend.OnStream

// optionCases has every option at least once, none with the value that it has anyway.
func optionCases(network string) []optionCase {
	cases := []optionCase{
		{set: backend.SendBuffer(50_000), live: backend.SendBuffer(4000), at: everywhere},
		{set: backend.SendBufferForce(60_000), live: backend.SendBufferForce(5000), at: everywhere},
	}
	if network == "unix" {
		return cases
	}
	return append(cases, []optionCase{
		{set: backend.NoDelay(false), live: backend.NoDelay(true), at: everywhere},
		{set: backend.QuickAck(false), live: backend.QuickAck(true), at: everywhere},
		{set: backend.Timestamp(true), live: backend.Timestamp(false), at: everywhere},
		{set: backend.ReuseAddress(false), at: backend.OnListener},
		{set: backend.ReuseAddress(true), at: backend.OnDial},
		{set: backend.ReusePortGroup(true), at: everywhere &^ backend.OnStream},
		{set: backend.FastOpenConnect(true), at: backend.OnDial},
		{set: backend.FastOpen(17), at: backend.OnListener},
		{set: backend.DeferAccept(5 * time.Second), at: backend.OnListener},
		{set: backend.Mark(1 << 31), live: backend.Mark(7), at: everywhere},
		{set: backend.Priority(5), live: backend.Priority(1 << 31), at: everywhere},
		{set: backend.TypeOfService(0x20), live: backend.TypeOfService(0xb8), at: everywhere},
		{set: backend.ReceiveBuffer(50_000), live: backend.ReceiveBuffer(4000), at: everywhere},
		{set: backend.ReceiveBufferForce(60_000), live: backend.ReceiveBufferForce(5000), at: everywhere},
		{set: backend.ReceiveLowWater(100), live: backend.ReceiveLowWater(1), at: everywhere},
		{set: backend.NotSentLowWater(10_000), live: backend.NotSentLowWater(0), at: everywhere},
		{set: backend.Linger(0), live: backend.Linger(-1), at: everywhere},
		{set: backend.UserTimeout(1500 * time.Millisecond), live: backend.UserTimeout(0), at: everywhere},
		{set: backend.BusyPoll(50 * time.Microsecond), live: backend.BusyPoll(60 * time.Microsecond), at: everywhere},
		{set: backend.KeepAlive(33*time.Second, 7*time.Second, 4), live: backend.KeepAlive(0, 0, 0), at: everywhere},
		{set: backend.KeepAliveOff(), live: backend.KeepAlive(0, 0, 1), at: everywhere},
		{set: backend.BindToDevice("lo"), live: backend.BindToDevice(""), at: everywhere},
		{set: backend.Congestion("reno"), live: backend.Congestion("reno"), at: everywhere},
	}...)
}

// kept is the value that the kernel stores for an option.
func kept(o backend.SocketOption) backend.SocketOption {
	n, _ := o.Value().(int64)
	switch o.Name() {
	case "sndbuf": // twice, socket(7)
		return backend.SendBuffer(int(2 * n))
	case "sndbufforce":
		return backend.SendBufferForce(int(2 * n))
	case "rcvbuf":
		return backend.ReceiveBuffer(int(2 * n))
	case "rcvbufforce":
		return backend.ReceiveBufferForce(int(2 * n))
	case "defer-accept":
		return backend.DeferAccept(7 * time.Second) // after 1, 2 and 4 s the SYN+ACK was repeated
	}
	return o
}

// withoutRight reports whether an option failed because the process lacks a privilege, or the system a feature. The option
// is then skipped, loudly.
func withoutRight(e *Env, o backend.SocketOption, err error) bool {
	var option *backend.SocketOptionError
	if !errors.Is(err, syscall.EPERM) && !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &option) {
		return false
	}
	e.Run("without_"+o.Name(), func(t *testing.T) { t.Skipf("NOT TESTED: %v", err) })
	return true
}

type reader func(backend.SocketOption) (backend.SocketOption, error)

func expect(e *Env, where string, want backend.SocketOption, read reader) {
	e.Helper()
	got, err := read(want)
	assert.NoError(e, err, "%s", where)
	assert.Equal(e, want, got, "%s", where)
}

// listenWith listens with an option, and returns what reads those of the listening socket.
func listenWith(e *Env, h *Hooks, network, address string, o backend.SocketOption) (session.Listener, reader, error) {
	h.env(e)
	copied := -1
	l, err := e.Under().Listen(network, address, h, &session.ListenOptions{Socket: []backend.SocketOption{o}, Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { copied, _ = backend.Duplicate(int(fd)) })
	}})
	e.Cleanup(func() { backend.CloseFD(copied) })
	return l, func(o backend.SocketOption) (backend.SocketOption, error) { return backend.GetSocketOption(copied, o) }, err
}

// optionsOfListener sets each option on listeners, and reads it from the listener and from its streams.
func optionsOfListener(e *Env) {
	for _, c := range optionCases(e.Network) {
		if c.at&backend.OnListener == 0 {
			continue
		}
		h := NewHooks()
		l, read, err := listenWith(e, h, e.Network, e.Address(), c.set)
		if withoutRight(e, c.set, err) {
			continue
		}
		require.NoError(e, err, "listen with %v", c.set)
		expect(e, "the listener", kept(c.set), read)
		p := e.Connect(l.Addr())
		if c.set.Name() == "defer-accept" {
			_, err := p.Write([]byte("x")) // nothing is accepted before
			require.NoError(e, err, "write")
		}
		s := h.Opened()
		if c.at&backend.OnStream != 0 {
			expect(e, "an accepted stream", kept(c.set), s.SocketOption)
		}
		require.NoError(e, l.Close(), "close the listener")
		require.NoError(e, s.Abort(), "abort")
	}
}

// optionsOfDial sets each option on dials, and reads it from their streams.
func optionsOfDial(e *Env) {
	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err, "listen")
	defer l.Close()
	for _, c := range optionCases(e.Network) {
		if c.at&backend.OnDial == 0 {
			continue
		}
		h := NewHooks()
		h.env(e)
		to := &session.DialOptions{Timeout: patience, Socket: []backend.SocketOption{c.set}}
		s, err := e.Under().Dial(context.Background(), e.Network, l.Addr().String(), h, to)
		if withoutRight(e, c.set, err) {
			continue
		}
		require.NoError(e, err, "dial with %v", c.set)
		expect(e, "a dialled stream", kept(c.set), s.SocketOption)
		require.NoError(e, s.Abort(), "abort")
	}
}

// optionsOfStream sets each option on live streams, and reads it back. They work on.
func optionsOfStream(e *Env) {
	for _, c := range optionCases(e.Network) {
		if c.live == (backend.SocketOption{}) {
			continue
		}
		s, p := e.Pair(NewHooks(), session.StreamOptions{})
		for _, o := range []backend.SocketOption{c.set, c.live} {
			err := s.SetSocketOption(o)
			if withoutRight(e, o, err) {
				continue
			}
			require.NoError(e, err, "set %v", o)
			expect(e, "a live stream", kept(o), s.SocketOption)
		}
		require.NoError(e, s.SetSocketOption(backend.SendBuffer(100_000)), "set")
		_, err := s.Write([]byte("bytes"))
		require.NoError(e, err, "write")
		e.ReadAll(p, 5)
		require.NoError(e, s.Abort(), "abort")
	}
}

// optionsIPv6 is for what depends on the family: an IPv6 listener may have IPv4 peers, which see the other field.
func optionsIPv6(e *Env) {
	if e.Network == "unix" {
		e.Skip("this is about TCP")
	}
	h, tos := NewHooks(), backend.TypeOfService(0x20)
	l, _, err := listenWith(e, h, "tcp", "[::]:0", tos)
	if err != nil {
		e.Skipf("NOT TESTED: no IPv6 here: %v", err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.Dial("tcp", net.JoinHostPort(host, port))
		require.NoError(e, err, "dial %s", host)
		defer c.Close()
		s := h.Opened()
		expect(e, "a stream from "+host, tos, s.SocketOption)
	}
	only, read, err := listenWith(e, h, "tcp", "[::]:0", backend.V6Only(true))
	require.NoError(e, err, "listen")
	expect(e, "the listener", backend.V6Only(true), read)
	_, port, _ = net.SplitHostPort(only.Addr().String())
	c, err := net.Dial("tcp4", "127.0.0.1:"+port)
	assert.ErrorIs(e, err, syscall.ECONNREFUSED, "IPv4 reaches a listener with v6only: %v", c)
	_, _, err = listenWith(e, h, "tcp", "127.0.0.1:0", backend.V6Only(true))
	refusal(e, err, "listen", "v6only=on")
}

// refusal checks that err is a *net.OpError with a *SocketOptionError in it, and contains the words.
func refusal(e *Env, err error, op string, words ...string) {
	e.Helper()
	var outer *net.OpError
	var inner *backend.SocketOptionError
	require.ErrorAs(e, err, &outer)
	require.Equal(e, op, outer.Op, "the operation of %v", err)
	require.ErrorAs(e, err, &inner)
	require.NotEmpty(e, inner.Cure, "the cure of %v", err)
	for _, w := range words {
		assert.ErrorContains(e, err, w, "what the error names")
	}
}

// optionsRefused sets options that cannot be, or not there. The error says which one, why, and what would help.
func optionsRefused(e *Env) {
	h := NewHooks()
	stream, _ := e.Pair(h, session.StreamOptions{})
	try := func(o backend.SocketOption, words ...string) {
		e.Helper()
		_, _, err := listenWith(e, h, e.Network, e.Address(), o)
		refusal(e, err, "listen", words...)
		_, err = e.Under().Connect(e.Network, "127.0.0.1:1", h, &session.DialOptions{Socket: []backend.SocketOption{o}})
		refusal(e, err, "dial", words...)
		refusal(e, stream.SetSocketOption(o), "set", words...)
	}
	try(backend.SocketOption{}, "constructor")
	if e.Network == "unix" {
		try(backend.NoDelay(true), "nodelay=on", "Unix")
		try(backend.ReceiveBuffer(4096), "rcvbuf=4096", "Unix") // the kernel takes it, and it does nothing: unix(7)
		_, err := stream.SocketOption(backend.NoDelay(true))
		refusal(e, err, "get", "Unix")
		return
	}
	try(backend.Linger(3*time.Second), "linger=3s", "close(2)", "CloseTimeout")
	try(backend.TypeOfService(1), "tos=1", "lower bits")
	refusal(e, stream.SetSocketOption(backend.ReuseAddress(true)), "set", "reuseaddr=on", "on a listener or a dial")
	refusal(e, stream.SetSocketOption(backend.ReceiveBuffer(1<<30-1)), "set", "net.core.rmem_max")
	_, _, err := listenWith(e, h, "tcp", e.Address(), backend.Congestion("none-such"))
	refusal(e, err, "listen", "congestion=none-such", "setsockopt", "tcp_available_congestion_control")
	to := []backend.SocketOption{backend.BindToDevice("none-such")}
	_, err = e.Under().Dial(context.Background(), "tcp", "127.0.0.1:1", h, &session.DialOptions{Socket: to})
	refusal(e, err, "dial", "bindtodevice=none-such", "setsockopt", "interface")
}

// optionsWhileEnding sets options while streams end: only on their own sockets, and then on none.
func optionsWhileEnding(e *Env) {
	h := NewHooks()
	for range 20 {
		s, _ := e.Pair(h, session.StreamOptions{})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				err := error(nil)
				for n := 5000; err == nil; n++ {
					err = s.SetSocketOption(backend.SendBuffer(n))
				}
				assert.Equal(e, net.ErrClosed, err, "while the stream ends")
			})
		}
		require.NoError(e, s.Abort(), "abort")
		all.Wait()
		_, err := s.SocketOption(backend.SendBuffer(0))
		assert.Equal(e, net.ErrClosed, err, "after the end")
	}
}

// lingerResets closes a stream with a linger time of zero. The peer is reset.
func lingerResets(e *Env) {
	if e.Network == "unix" {
		e.Skip("Unix sockets have no reset")
	}
	s, p := e.Pair(NewHooks(), session.StreamOptions{})
	require.NoError(e, s.SetSocketOption(backend.Linger(0)), "set")
	require.NoError(e, s.Close(), "close")
	_, err := p.Read(make([]byte, 1))
	assert.ErrorIs(e, err, syscall.ECONNRESET, "what the peer of a stream sees that was closed with linger=0s")
}
