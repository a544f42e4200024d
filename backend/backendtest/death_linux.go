package backendtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/sessiontest"
)

var deathRulesLinux = []Rule{
	{"S38_DriverFails", func(e *Env) { e.withBrokenDriver(driverFails) }},
	{"S38_OneDriverFails", func(e *Env) { e.withBrokenDriver(oneDriverFails) }},
	{"S38_DriverFailsInShutdown", func(e *Env) { e.withBrokenDriver(driverFailsInShutdown) }},
}

// withBrokenDriver runs a rule that makes drivers fail, in a process of its own.
func (e *Env) withBrokenDriver(rule func(*Env)) {
	if len(e.Waits.Calls) == 0 {
		e.Skip("NOT TESTED: the Setup does not name the system calls in which its loops wait")
	}
	e.inChild(rule)
}

// childVariable says to this program that it is the child of a rule.
const childVariable = "TANDEM_RULE_CHILD"

// inChild runs a rule in a process of its own, because it does what cannot be taken back.
func (e *Env) inChild(rule func(*Env)) {
	if os.Getenv(childVariable) == e.T.Name() {
		rule(e)
		return
	}
	var names []string
	for _, name := range strings.Split(e.T.Name(), "/") {
		names = append(names, "^"+regexp.QuoteMeta(name)+"$")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*longest)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+strings.Join(names, "/"), "-test.count=1")
	cmd.Env = append(os.Environ(), childVariable+"="+e.T.Name(), "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	assert.NoError(e, err, "in a process of its own: %v\n%s", err, out[:min(len(out), 8<<10)])
}

// waitSets are the descriptors of this process that loops wait for.
func (e *Env) waitSets() (fds []uint32) {
	for fd, target := range takeCensus().files {
		var n uint32
		if _, err := fmt.Sscan(fd, &n); err == nil && target == e.Waits.Set {
			fds = append(fds, n)
		}
	}
	return fds
}

// breakable opens a Transport, and returns what breaks the driver of the loop of a stream.
func (e *Env) breakable(loops int) (t *session.Engine, log *sessiontest.Log, fail func(*session.Stream)) {
	e.Helper()
	before := e.waitSets()
	t, log = e.openLogging(func(o *Options) { o.Loops = loops })
	own := keepIf(e.waitSets(), func(fd uint32) bool { return !slices.Contains(before, fd) })
	return t, log, func(s *session.Stream) {
		result := make(chan error, 1)
		if e.Waits.Set == "" { // its loops keep their threads
			assert.NoError(e, s.Post(func() { result <- refuse(syscall.EPERM, nil, e.Waits.Calls...) }))
		} else if assert.Len(e, own, loops, "descriptors of %s that the Transport has opened", e.Waits.Set) {
			result <- refuse(syscall.EPERM, &own[0], e.Waits.Calls...)
			_ = s.Post(func() {})
		}
		require.NoError(e, arrives(e, result))
	}
}

// driverFails has streams in every state on a loop whose driver fails, and calls that wait for it.
func driverFails(e *Env) {
	t, log, fail := e.breakable(1)
	h := NewHooks()
	h.Data = nothing
	var told []chan error
	var peers []*reading
	for _, prepare := range []func(*session.Stream, Peer){
		func(*session.Stream, Peer) {},
		func(s *session.Stream, _ Peer) { s.PauseRead() },
		func(_ *session.Stream, p Peer) { e.writeAll(p, Pattern(10_000)) },
		func(s *session.Stream, _ Peer) { e.fillQueue(s) },
		func(s *session.Stream, _ Peer) { e.fillQueue(s); _ = s.CloseWrite() },
		func(s *session.Stream, _ Peer) {
			e.fillQueue(s)
			fn := make(chan error, 1)
			require.NoError(e, s.WriteNotify([]byte("x"), func(err error) { fn <- err }))
			told = append(told, fn)
			require.NoError(e, s.Close())
		},
	} {
		s, p := e.PairOn(t, h, session.StreamOptions{})
		prepare(s, p)
		defer func() { peers = append(peers, readOn(p)) }()
		e.Cleanup(func() { _ = p.Close() })
	}
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	s, _ := e.PairOn(t, h, session.StreamOptions{})
	dials := NewHooks()
	dials.env(e)
	silent := e.unreachable()
	_, err = t.Connect("tcp", silent, dials, nil)
	require.NoError(e, err)
	dialled := make(chan error, 1)
	go func() {
		_, err := t.Dial(context.Background(), "tcp", silent, NewHooks(), nil)
		dialled <- err
	}()
	time.Sleep(moment)
	fail(s)
	for range 7 {
		assert.ErrorIs(e, h.Closed(), syscall.EPERM)
	}
	assert.ErrorIs(e, dials.Closed(), syscall.EPERM, "OnClose of a dial")
	assert.ErrorIs(e, arrives(e, dialled), syscall.EPERM, "Dial")
	for _, fn := range told {
		assert.ErrorIs(e, arrives(e, fn), syscall.EPERM, "a notification")
	}
	require.True(e, await(t.Done()), "Done")
	assert.ErrorIs(e, t.Err(), syscall.EPERM)
	e.logged(log, "level=ERROR")
	e.afterDeath(t, l)
}

// afterDeath uses a Transport that has no loop left.
func (e *Env) afterDeath(t *session.Engine, l session.Listener) {
	e.Helper()
	e.Eventually(func() bool { return l.Err() != nil }, "the end of the listener")
	e.within("Close of a listener", func() { assert.NoError(e, l.Close()) })
	e.Eventually(func() bool { // the kernel ends an accept in a ring late
		c, err := net.DialTimeout(l.Addr().Network(), l.Addr().String(), patience)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, "nobody listens")
	e.within("calls to a Transport without loops", func() {
		_, err := t.Listen(e.Network, e.Address(), NewHooks(), nil)
		assert.ErrorIs(e, err, syscall.EPERM, "Listen")
		_, err = t.Dial(context.Background(), "tcp", "127.0.0.1:1", NewHooks(), nil)
		assert.Error(e, err, "Dial")
		_, err = t.Connect("tcp", "127.0.0.1:1", NewHooks(), nil)
		assert.Error(e, err, "Connect")
		a, b, err := socketPair()
		require.NoError(e, err)
		defer b.Close()
		_, err = t.Adopt(a, NewHooks())
		assert.Error(e, err, "Adopt")
		_ = a.Close()
	})
	s := t.Stats()
	assert.Zero(e, s.Streams, "streams")
	assert.Equal(e, s.Opened, s.Closed, "streams that were opened, and closed")
	assert.Zero(e, s.Sockets, "sockets")
	e.within("Shutdown", func() { assert.NoError(e, t.Shutdown(context.Background())) })
}

// oneDriverFails has one of two loops die. The other one takes over what can be taken over.
func oneDriverFails(e *Env) {
	t, log, fail := e.breakable(2)
	h := echo()
	h.env(e)
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	peers := map[*session.Stream]Peer{}
	for range 6 {
		p := e.Connect(l.Addr())
		peers[h.Opened()] = p
	}
	for s := range peers {
		if s.Loop() == 0 {
			fail(s)
			break
		}
	}
	for s := range peers {
		_ = s.Post(func() {})
	}
	for range 3 {
		assert.ErrorIs(e, h.Closed(), syscall.EPERM)
	}
	e.Eventually(func() bool { return strings.Contains(log.String(), "level=ERROR") }, "a message")
	lives := 0
	for s, p := range peers {
		if s.Post(func() {}) != nil {
			_, err := readOn(p).all(e)
			assert.True(e, e.isReset(err), "the peer of a stream on the loop that died sees %v", err)
			continue
		}
		lives++
		e.pingPong(p)
	}
	assert.Equal(e, 3, lives, "streams that live")
	for range 4 {
		p := e.Connect(l.Addr())
		h.Opened()
		e.pingPong(p)
	}
	assert.NoError(e, t.Err())
	assert.NoError(e, l.Err())
	select {
	case <-t.Done():
		e.Error("Done, with a loop left")
	default:
	}
}

// driverFailsInShutdown has a driver fail while Shutdown waits for its streams.
func driverFailsInShutdown(e *Env) {
	t, _, fail := e.breakable(1)
	h := NewHooks()
	s, _ := e.PairOn(t, h, session.StreamOptions{CloseTimeout: -1})
	e.fillQueue(s)
	shut := make(chan error, 1)
	go func() { shut <- t.Shutdown(context.Background()) }()
	time.Sleep(moment)
	h.StillOpen()
	fail(s)
	assert.ErrorIs(e, h.Closed(), syscall.EPERM)
	assert.NoError(e, arrives(e, shut), "Shutdown, when nothing is left")
	assert.Error(e, t.Err())
}
