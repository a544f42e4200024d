package backendtest

import (
	"context"
	"net"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
)

// Rules on loops that die, and on ends that callbacks hold up.
var coreDeathRules = []Rule{
	{"S32_BlockedCallback", blockedCallback},
	{"S32_RefusesWhatIsNew", refusesWhatIsNew},
	{"S38_Goexit", goexitEverywhere},
	{"S38_WaitersReturn", waitersReturn},
	{"S38_OtherLoopsGoOn", otherLoopsGoOn},
}

// blockedCallback shuts down while a callback does not return. Shutdown does, and says whose callback it is.
func blockedCallback(e *Env) {
	t := e.Open(nil)
	h := NewHooks()
	begun, release := make(chan struct{}), make(chan struct{})
	h.Data = func(s *tandem.Stream) { h.Collect(s); close(begun); await(release) }
	s, p := e.PairOn(t, h, tandem.StreamOptions{})
	e.writeAll(p, []byte("x"))
	arrives(e, begun)
	ctx, cancel := context.WithTimeout(context.Background(), moment)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- t.Shutdown(ctx) }()
	err := arrives(e, ended)
	require.ErrorIs(e, err, context.DeadlineExceeded)
	require.Contains(e, err.Error(), "stream "+itoa(s.ID()))
	require.Zero(e, h.Count("OnClose"))
	require.Error(e, t.Shutdown(nilContext()), "a nil context")
	close(release)
	require.NoError(e, t.Close())
	h.Closed()
}

func nilContext() context.Context { return nil }

// refusesWhatIsNew begins streams and listeners in OnClose of a stream that a Shutdown ends.
func refusesWhatIsNew(e *Env) {
	t := e.Open(nil)
	server := e.listenOn(e.Network, e.Address(), echo())
	h := NewHooks()
	errs := map[string]error{}
	h.Close = func(*tandem.Stream, error) {
		_, errs["Connect"] = t.Connect(e.Network, server.Addr().String(), h, nil)
		_, errs["Dial"] = t.Dial(context.Background(), e.Network, server.Addr().String(), h, nil)
		_, errs["Listen"] = t.Listen("tcp", "127.0.0.1:0", h, nil)
		a, b := e.connPair("tcp")
		_, errs["Adopt"] = t.Adopt(a.(syscall.Conn), h)
		_ = a.Close()
		_ = b.Close()
	}
	e.PairOn(t, h, tandem.StreamOptions{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(e, t.Shutdown(ctx))
	h.closedWith(nil)
	require.Len(e, errs, 4)
	for what, err := range errs {
		require.ErrorIs(e, err, net.ErrClosed, what)
	}
	require.Equal(e, 1, h.Count("OnClose"))
}

// goexitEverywhere ends the loop's goroutine in each kind of callback. That is told, and holds up nobody.
func goexitEverywhere(e *Env) {
	for _, where := range []string{"OnOpen", "OnData", "OnEOF", "OnWritable", "OnClose", "Post", "After", "WriteNotify"} {
		e.goexitIn(where)
	}
}

func (e *Env) goexitIn(where string) {
	t, log := e.openLogging(func(o *tandem.Options) { o.Loops = 1 })
	other := NewHooks()
	_, q := e.PairOn(t, other, tandem.StreamOptions{})
	h := NewHooks()
	leave := func(name string) {
		if name == where {
			runtime.Goexit()
		}
	}
	h.Open = func(*tandem.Stream) { leave("OnOpen") }
	h.EOF = func(*tandem.Stream) { leave("OnEOF") }
	h.Writable = func(*tandem.Stream) { leave("OnWritable") }
	h.Close = func(*tandem.Stream, error) { leave("OnClose") }
	h.Data = func(s *tandem.Stream) {
		h.Collect(s)
		leave("OnData")
		_, _ = s.Write(make([]byte, 2000))
		_ = s.WriteNotify([]byte("x"), func(error) { leave("WriteNotify") })
		s.After(0, func() { leave("After") })
		_ = s.Post(func() { leave("Post") })
	}
	h.env(e)
	l, err := t.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{StreamOptions: tandem.StreamOptions{HighWater: 1000, LowWater: 500}})
	require.NoError(e, err)
	if c, err := net.DialTimeout("tcp", l.Addr().String(), patience); err == nil {
		p := e.plain(c)
		_, _ = p.Write([]byte("go"))
		if where == "OnEOF" || where == "OnClose" {
			_ = p.CloseWrite()
		}
	}
	e.Logf("in %s", where)
	require.ErrorIs(e, other.Closed(), backend.ErrGoexit, where)
	_, err = readOn(q).all(e)
	require.True(e, e.isReset(err), "%s: the peer of another stream sees %v", where, err)
	arrives(e, t.Done())
	require.ErrorIs(e, t.Err(), backend.ErrGoexit, where)
	e.Eventually(func() bool { return strings.Contains(log.String(), "level=ERROR") }, "a message")
	require.Contains(e, log.String(), where)
	require.NoError(e, l.Close())
	_, err = t.Listen("tcp", "127.0.0.1:0", other, nil)
	require.Error(e, err, where)
	require.NoError(e, t.Close())
}

// waitersReturn ends a loop while others wait for it.
func waitersReturn(e *Env) {
	t := e.Open(func(o *tandem.Options) { o.Loops = 1 })
	h := NewHooks()
	s, _ := e.PairOn(t, h, tandem.StreamOptions{})
	results := make(chan error, 3)
	if e.Network == "tcp" {
		address := e.unreachable()
		go func() {
			_, err := t.Dial(e.patient(), "tcp", address, NewHooks(), nil)
			results <- err
		}()
	} else {
		results <- net.ErrClosed
	}
	waits := NewHooks()
	waits.env(e)
	address := e.unreachable()
	_, err := t.Connect("tcp", address, waits, nil)
	require.NoError(e, err)
	time.Sleep(moment)
	told := make(chan error, 1)
	e.onLoop(s, func() { _ = s.WriteNotify(Pattern(16<<20), func(err error) { told <- err }) })
	conn, detachErr := net.Conn(nil), error(nil)
	require.NoError(e, s.Post(func() {
		_ = s.Post(func() {}) // it runs, before OnClose
		runtime.Goexit()
	}))
	require.Error(e, h.Closed())
	require.Error(e, arrives(e, told))
	require.Error(e, arrives(e, results), "Dial")
	require.Error(e, waits.Closed(), "Connect")
	conn, detachErr = s.Detach()
	require.ErrorIs(e, detachErr, net.ErrClosed)
	require.Nil(e, conn)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(e, t.Shutdown(ctx))
}

// otherLoopsGoOn ends one of two loops. The other serves on, and gets all that is new.
func otherLoopsGoOn(e *Env) {
	t := e.Open(func(o *tandem.Options) { o.Loops = 2 })
	h := echo()
	h.env(e)
	server := e.listenOn(e.Network, e.Address(), echo())
	var on [2]*tandem.Stream
	for on[0] == nil || on[1] == nil {
		s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
		require.NoError(e, err)
		h.Opened()
		on[s.Loop()] = s
	}
	e.goexit(on[0])
	require.Error(e, h.Closed())
	e.Eventually(func() bool { return t.Stats().Loops[0].Streams == 0 }, "the loop's streams have ended")
	e.onLoop(on[1], func() {})
	for range 6 {
		s, err := t.Connect(e.Network, server.Addr().String(), h, nil)
		require.NoError(e, err)
		require.Equal(e, 1, s.Loop())
		h.Opened()
	}
	require.NoError(e, t.Err())
	select {
	case <-t.Done():
		e.Fatal("Done is closed although a loop lives")
	default:
	}
	s := t.Stats()
	assert.Equal(e, s.Opened, s.Closed+uint64(s.Streams))
	require.NoError(e, t.Close())
	require.ErrorIs(e, t.Err(), net.ErrClosed)
	arrives(e, t.Done())
}
