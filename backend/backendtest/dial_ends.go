package backendtest

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// Rules on dials whose loop or Transport ends, or does not get to them.
var dialEndRules = []Rule{
	{"S26_BusyLoop", dialOnBusyLoop},
	{"S32_EndsDials", shutdownEndsDials},
	{"S32_RefusesDials", closedRefusesDials},
	{"S38_EndsDials", deadLoopEndsDials},
}

// unready is a dial that is not connected soon.
type unready struct {
	what    string
	address string
	o       session.DialOptions
}

// unready are dials that wait: for the kernel, for a name server, for ControlContext.
func (e *Env) unready() (all []unready) {
	e.Helper()
	dead, other := e.samePort("127.0.0.8", "127.0.0.9")
	e.fill(dead)
	e.fill(other)
	_, port, _ := net.SplitHostPort(dead.Addr().String())
	o := session.DialOptions{Resolver: names{"two.test.": loopbacks(8, 9), "mute.test.": nil}.resolver(e)}
	for _, host := range []string{"127.0.0.8", "two.test.", "mute.test."} {
		all = append(all, unready{host, net.JoinHostPort(host, port), o})
	}
	o.ControlContext = func(ctx context.Context, _, _ string, _ syscall.RawConn) error { <-ctx.Done(); return ctx.Err() }
	for _, host := range []string{"127.0.0.8", "two.test."} {
		all = append(all, unready{"Control of " + host, net.JoinHostPort(host, port), o})
	}
	return all
}

// begins begins a dial on another goroutine, by Dial or by Connect, and returns a channel for its error.
func (e *Env) begins(ctx context.Context, t *session.Engine, wait bool, address string, o *session.DialOptions) <-chan error {
	result := make(chan error, 1)
	h := NewHooks()
	h.env(e)
	h.Close = func(_ *session.Stream, err error) { result <- err }
	go func() {
		if wait {
			_, err := t.Dial(ctx, "tcp", address, h, o)
			result <- err
		} else if _, err := t.Connect("tcp", address, h, o); err != nil {
			result <- err
		}
	}()
	return result
}

// dialOnBusyLoop dials while a callback blocks the loop. Dial returns all the same, when its time is over.
func dialOnBusyLoop(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 1 })
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	l := e.listenPlain("tcp", "127.0.0.1:0")
	go drop(l)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	entered, release := make(chan struct{}), make(chan struct{})
	require.NoError(e, s.Post(func() { close(entered); await(release) }))
	arrives(e, entered)
	resolver := names{"one.test.": loopbacks(1)}.resolver(e)
	for _, host := range []string{"127.0.0.1:", "one.test.:"} {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		err := arrives(e, e.begins(ctx, t, true, host+port, &session.DialOptions{Resolver: resolver}))
		cancel()
		e.dialError(err, "tcp", context.DeadlineExceeded)
		o := &session.DialOptions{Resolver: resolver, Timeout: 10 * time.Millisecond}
		e.dialError(arrives(e, e.begins(context.Background(), t, true, host+port, o)), "tcp", os.ErrDeadlineExceeded)
	}
	close(release)
	e.Eventually(func() bool { return t.Stats().Streams == 1 && t.Stats().Sockets == 1 }, "nothing that is left of the dials")
}

// shutdownEndsDials shuts down while dials are in all states.
func shutdownEndsDials(e *Env) {
	if !e.once() {
		return
	}
	for _, dial := range e.unready() {
		t := e.Open(nil)
		var results []<-chan error
		for _, wait := range []bool{true, false} {
			results = append(results, e.begins(context.Background(), t, wait, dial.address, &dial.o))
		}
		time.Sleep(moment)
		ctx, cancel := context.WithTimeout(context.Background(), patience/2)
		require.NoError(e, t.Shutdown(ctx), dial.what)
		cancel()
		for _, result := range results {
			e.dialError(arrives(e, result), "tcp", net.ErrClosed)
		}
	}
}

// closedRefusesDials dials when the Transport has ended.
func closedRefusesDials(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(nil)
	s, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	require.NoError(e, t.Close())
	h := NewHooks()
	h.env(e)
	o := &session.DialOptions{
		SameLoop: s, Resolver: names{}.resolver(e),
		Control: func(string, string, syscall.RawConn) error { e.Error("a socket was made"); return nil },
	}
	for _, address := range []string{"127.0.0.1:1", "one.test.:1"} {
		_, err := t.Dial(context.Background(), "tcp", address, h, o)
		e.dialError(err, "tcp", net.ErrClosed)
		_, err = t.Connect("tcp", address, h, o)
		e.dialError(err, "tcp", net.ErrClosed)
	}
	require.Zero(e, h.Count("OnClose"))
}

// deadLoopEndsDials has the loop of dials die, with attempts and look-ups under way. They are told why, their sockets are
// closed, and more cannot be begun there.
func deadLoopEndsDials(e *Env) {
	if !e.once() {
		return
	}
	all := e.unready()
	before := len(takeCensus().files)
	type scene struct {
		t       *session.Engine
		s       *session.Stream
		p       Peer
		results []<-chan error
	}
	scenes := make([]scene, len(all))
	for i := range scenes {
		c := &scenes[i]
		c.t = e.Open(func(o *Options) { o.Loops = 2 })
		c.s, c.p = e.PairOn(c.t, NewHooks(), session.StreamOptions{})
	}
	for i, dial := range all {
		c := &scenes[i]
		for range 3 {
			for _, wait := range []bool{true, false} {
				o := dial.o
				o.SameLoop, o.Timeout = c.s, 300*time.Millisecond
				c.results = append(c.results, e.begins(context.Background(), c.t, wait, dial.address, &o))
			}
		}
	}
	time.Sleep(270 * time.Millisecond) // then a second attempt is under way
	for _, c := range scenes {
		require.NoError(e, c.s.Post(runtime.Goexit))
	}
	for i, dial := range all {
		t, s, p := scenes[i].t, scenes[i].s, scenes[i].p
		for _, result := range scenes[i].results {
			err := arrives(e, result)
			var op *net.OpError
			require.ErrorAs(e, err, &op, dial.what)
			if !op.Timeout() && dial.o.ControlContext == nil {
				assert.ErrorIs(e, err, backend.ErrGoexit, dial.what)
			}
		}
		o := &session.DialOptions{SameLoop: s}
		for _, wait := range []bool{true, false} {
			err := arrives(e, e.begins(context.Background(), t, wait, "127.0.0.8:1", o))
			e.opError(err, "dial", "tcp")
			assert.True(e, errors.Is(err, net.ErrClosed) || errors.Is(err, backend.ErrGoexit), "a dial on a loop that is dying, or dead: %v", err)
		}
		require.NoError(e, t.Close())
		_ = p.Reset()
	}
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
}
