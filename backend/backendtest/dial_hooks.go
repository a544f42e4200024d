package backendtest

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Rules on the hooks of a dial: Control, ControlContext and Resolver.
var dialHookRules = []Rule{
	{"S21_PanicsInADial", panicsInADial},
	{"S26_GoexitInADial", goexitInADial},
	{"S26_ControlContext", controlContext},
	{"S26_ControlOffTheLoop", controlOffTheLoop},
	{"S26_ControlIsOver", controlIsOver},
	{"S26_Resolver", ownResolver},
	{"S26_FailedDialsWeighNothing", failedDialsWeighNothing},
}

// dialHook is a place in a dial that runs the user's code, and what ends there.
type dialHook struct {
	name    string
	options func(*Env, func()) *session.DialOptions
	names   []string // hosts whose dial comes there
}

func dialHooks() []dialHook {
	literal, name := "127.0.0.1", "one.test."
	known := names{name: loopbacks(1)}
	return []dialHook{
		{"Control", func(e *Env, fn func()) *session.DialOptions {
			return &session.DialOptions{Resolver: known.resolver(e), Control: func(string, string, syscall.RawConn) error { fn(); return nil }}
		}, []string{literal, name}},
		{"ControlContext", func(e *Env, fn func()) *session.DialOptions {
			return &session.DialOptions{
				Resolver:       known.resolver(e),
				ControlContext: func(context.Context, string, string, syscall.RawConn) error { fn(); return nil },
			}
		}, []string{literal, name}},
		{"Resolver", func(_ *Env, fn func()) *session.DialOptions {
			return &session.DialOptions{Resolver: &net.Resolver{
				PreferGo: true,
				Dial:     func(context.Context, string, string) (net.Conn, error) { fn(); return nil, errors.New("not reached") },
			}}
		}, []string{name}},
	}
}

// panicsInADial panics in each hook of Dial and Connect, outside of callbacks and inside.
func panicsInADial(e *Env) {
	if !e.once() {
		return
	}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	inside, _ := e.Pair(NewHooks(), session.StreamOptions{})
	for _, hook := range dialHooks() {
		o := hook.options(e, func() { panic("on purpose") })
		for _, host := range hook.names {
			what := hook.name + " of a dial to " + host
			address := net.JoinHostPort(host, port)
			check := func(err error) {
				e.Helper()
				var op *net.OpError
				var p *session.PanicError
				require.ErrorAs(e, err, &op, what)
				require.ErrorAs(e, err, &p, what)
				require.Equal(e, "dial", op.Op)
				require.Equal(e, "on purpose", p.Value)
				require.Contains(e, string(p.Stack), "panicsInADial", what)
			}
			h := NewHooks()
			h.env(e)
			_, err := e.Under().Dial(e.patient(), "tcp", address, h, o)
			check(err)
			_, err = e.Under().Connect("tcp", address, h, o)
			require.NoError(e, err)
			check(h.Closed())
			e.onLoop(inside, func() {
				_, err := e.Under().Connect("tcp", address, h, o)
				assert.NoError(e, err)
			})
			check(h.Closed())
			require.Zero(e, h.Count("OnOpen"))
		}
	}
}

// goexitInADial ends the goroutine in each hook. Whose goroutine it is, the dial ends.
func goexitInADial(e *Env) {
	if !e.once() {
		return
	}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	e.settled(e.Under())
	before := len(takeCensus().files)
	for _, hook := range dialHooks() {
		o := hook.options(e, runtime.Goexit)
		for _, host := range append(hook.names, "[::]") {
			if host == "[::]" && hook.name == "Resolver" {
				continue
			}
			address := strings.Trim(host, "[]")
			address = net.JoinHostPort(address, port)
			h := NewHooks()
			h.env(e)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := e.Under().Dial(e.patient(), "tcp", address, h, o)
				assert.ErrorContains(e, err, "Goexit", "where the goroutine is not the caller's")
			}()
			arrives(e, ended)
			ended = make(chan struct{})
			var begun atomic.Bool
			go func() {
				defer close(ended)
				_, err := e.Under().Connect("tcp", address, h, o)
				begun.Store(true)
				assert.NoError(e, err)
			}()
			arrives(e, ended)
			if begun.Load() {
				require.ErrorContains(e, h.Closed(), "Goexit", "%s of a dial to %s", hook.name, address)
			}
			require.Zero(e, h.Count("OnOpen"))
		}
	}
	e.settled(e.Under())
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
}

// controlContext looks at what ControlContext is given, and has it wait for its context.
func controlContext(e *Env) {
	if !e.once() {
		return
	}
	type key struct{}
	server := e.listenOn("tcp", "127.0.0.1:0", echo())
	_, port, _ := net.SplitHostPort(server.Addr().String())
	var seen context.Context
	o := &session.DialOptions{
		Timeout:  patience,
		Resolver: names{"one.test.": loopbacks(1)}.resolver(e),
		Control:  func(string, string, syscall.RawConn) error { e.Error("Control was called, too"); return nil },
		ControlContext: func(ctx context.Context, network, address string, _ syscall.RawConn) error {
			seen = ctx
			assert.NoError(e, ctx.Err())
			assert.Equal(e, "tcp4", network)
			assert.Equal(e, "127.0.0.1:"+port, address)
			return nil
		},
	}
	for _, host := range []string{"127.0.0.1:", "one.test.:"} {
		h := NewHooks()
		h.env(e)
		_, err := e.Under().Dial(context.WithValue(context.Background(), key{}, "value"), "tcp", host+port, h, o)
		require.NoError(e, err)
		require.Equal(e, "value", seen.Value(key{}))
		_, bounded := seen.Deadline()
		require.True(e, bounded, "a deadline, because of the Timeout")
		e.Eventually(func() bool { return seen.Err() != nil }, "the end of the context")
	}
	waits := *o
	waits.Timeout = 20 * time.Millisecond
	waits.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error { <-ctx.Done(); return ctx.Err() }
	for _, host := range []string{"127.0.0.1:", "one.test.:"} {
		h := NewHooks()
		h.env(e)
		_, err := e.Under().Dial(context.Background(), "tcp", host+port, h, &waits)
		e.dialTimedOut(err)
		_, err = e.Under().Connect("tcp", host+port, h, &waits)
		require.NoError(e, err)
		e.dialTimedOut(h.Closed())
	}
}

func (e *Env) dialTimedOut(err error) {
	e.Helper()
	var op *net.OpError
	require.ErrorAs(e, err, &op)
	require.True(e, op.Timeout(), "%v", err)
}

// controlOffTheLoop has Control block. That holds up its dial, and nothing else on the loop.
func controlOffTheLoop(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	_, p := e.PairOn(t, echo(), session.StreamOptions{})
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	entered, release := make(chan struct{}, 2), make(chan struct{})
	o := &session.DialOptions{
		Resolver: names{"one.test.": loopbacks(1)}.resolver(e),
		Control:  func(string, string, syscall.RawConn) error { entered <- struct{}{}; await(release); return nil },
	}
	h := NewHooks()
	h.env(e)
	dialled := make(chan error, 1)
	go func() {
		_, err := t.Dial(e.patient(), "tcp", "127.0.0.1:"+port, h, o)
		dialled <- err
	}()
	_, err := t.Connect("tcp", "one.test.:"+port, h, o)
	require.NoError(e, err)
	arrives(e, entered)
	arrives(e, entered)
	e.pingPong(p)
	close(release)
	require.NoError(e, arrives(e, dialled))
	h.Opened()
	h.Opened()
}

// controlIsOver keeps the RawConn beyond Control. It gives no descriptor any longer, which may be another socket's by then.
func controlIsOver(e *Env) {
	if !e.once() {
		return
	}
	var kept syscall.RawConn
	o := &session.DialOptions{Control: func(_, _ string, c syscall.RawConn) error {
		kept = c
		return c.Control(func(uintptr) { assert.NoError(e, c.Control(func(uintptr) {}), "inside itself") })
	}}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	h := NewHooks()
	h.env(e)
	s, err := e.Under().Dial(e.patient(), "tcp", l.Addr().String(), h, o)
	require.NoError(e, err)
	require.ErrorIs(e, kept.Control(func(uintptr) { e.Error("it ran") }), net.ErrClosed)
	require.NoError(e, s.Abort())
}

// ownResolver looks names up with DialOptions.Resolver, which asks for no more than has to be known.
func ownResolver(e *Env) {
	if !e.once() {
		return
	}
	l := e.listenPlain("tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n := names{"one.test.": loopbacks(1), "mute6.test.": append(loopbacks(1), netip.Addr{}), "mute.test.": nil}
	o := &session.DialOptions{Resolver: n.resolver(e)}
	h := NewHooks()
	h.env(e)
	for network, host := range map[string]string{"tcp": "one.test.:", "tcp4": "mute6.test.:"} {
		s, err := e.Under().Dial(e.patient(), network, host+port, h, o)
		require.NoError(e, err)
		require.NoError(e, s.Abort())
		h.Closed()
	}
	release := make(chan struct{})
	e.Cleanup(func() { close(release) })
	deaf := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		await(release) // whatever becomes of the context
		return nil, errors.New("too late")
	}}
	for _, r := range []*net.Resolver{deaf, o.Resolver} {
		t := e.Open(nil)
		timed := &session.DialOptions{Resolver: r, Timeout: 10 * time.Millisecond}
		_, err := t.Dial(context.Background(), "tcp", "mute.test.:1", h, timed)
		e.dialTimedOut(err)
		_, err = t.Connect("tcp", "mute.test.:1", h, timed)
		require.NoError(e, err)
		e.dialTimedOut(h.Closed())
		_, err = t.Connect("tcp", "mute.test.:1", h, &session.DialOptions{Resolver: r})
		require.NoError(e, err)
		require.NoError(e, t.Close())
		e.dialError(h.Closed(), "tcp", net.ErrClosed)
	}
}

// failedDialsWeighNothing fails dials in every way. Afterwards LeastStreams spreads as if they had never been.
func failedDialsWeighNothing(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops, o.Balance = 2, session.LeastStreams })
	f, refusing, err := bound()
	require.NoError(e, err)
	defer f.Close()
	l := e.listenPlain("tcp", "127.0.0.1:0")
	go drop(l)
	h := NewHooks()
	h.env(e)
	var there [2]*session.Stream // one on each loop
	for i := range there {
		there[i], err = t.Dial(e.patient(), "tcp", l.Addr().String(), h, nil)
		require.NoError(e, err)
	}
	ways, unknown := map[string]*session.DialOptions{}, names{}.resolver(e)
	for _, hook := range dialHooks() {
		ways["a panic in "+hook.name] = hook.options(e, func() { panic("on purpose") })
		ways["Goexit in "+hook.name] = hook.options(e, runtime.Goexit)
	}
	for what, local := range map[string]net.Addr{"refused": nil, "a local address": &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "a wrong one": &net.UDPAddr{}} {
		ways[what] = &session.DialOptions{Resolver: unknown, LocalAddr: local}
	}
	ways["options"] = &session.DialOptions{Resolver: unknown, Socket: []backend.SocketOption{backend.BindToDevice("none-such")}}
	ways["a Timeout"] = &session.DialOptions{Resolver: unknown, Timeout: -1}
	for _, o := range ways {
		for _, address := range []string{refusing.String(), "one.test.:1"} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = t.Dial(e.patient(), "tcp", address, h, o)
			}()
			arrives(e, done)
		}
	}
	for range 2 { // a dial that was given up ends with the next turn
		e.turn(there[0])
		e.turn(there[1])
	}
	var on [2]int
	for range 20 {
		s, err := t.Connect("tcp", l.Addr().String(), h, nil)
		require.NoError(e, err)
		on[s.Loop()]++
	}
	require.Equal(e, [2]int{10, 10}, on)
}
