package backendtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// patience is how long an event that must come may take, on the slowest machine.
const patience = 10 * time.Second

// leaving is how long goroutines that have ended, and descriptors that the kernel gives back late, may take to be gone.
const leaving = 5 * time.Second

// moment is how long a rule watches for an event that must not come.
const moment = 30 * time.Millisecond

// Env is what one rule runs in.
type Env struct {
	*testing.T
	Setup
	before     census
	transports []*session.Engine
	hung       chan string // why the rule hangs
	guard      sync.Mutex  // guards abandoned, and the use of T
	abandoned  bool
	cleanups   []func()
	together   bool            // other rules run at the same time: descriptors and goroutines are counted when all have ended
	under      *session.Engine // opened by the first Pair; the bystanders', if there are some
	bystanders *bystanders     // on a Transport that rules share; or nil
	peers      *session.Engine
	mu         sync.Mutex // guards hooks
	hooks      []*Hooks
}

// newEnv makes the Env of one rule.
func newEnv(t *testing.T, s Setup) *Env {
	return &Env{T: t, Setup: s, hung: make(chan string, 1)}
}

// begin comes before the rule, on its goroutine.
func (e *Env) begin() {
	startPoller()
	e.before = takeCensus()
}

// startPoller has Go open the descriptors of its own poller, which it does once, before they are counted.
func startPoller() {
	if r, w, err := os.Pipe(); err == nil {
		_ = r.Close()
		_ = w.Close()
	}
}

// Open opens a Transport of the drivers under test with changed options. It is closed at the end.
func (e *Env) Open(change func(*Options)) *session.Engine {
	e.Helper()
	var o Options
	if change != nil {
		change(&o)
	}
	return e.open(e.Drivers, o)
}

func (e *Env) open(drivers Drivers, o Options) *session.Engine {
	e.Helper()
	t, err := start(drivers, o)
	require.NoError(e, err, "open")
	e.transports = append(e.transports, t)
	return t
}

// Cleanup has fn called when the rule has ended, before the Transports are closed.
func (e *Env) Cleanup(fn func()) { e.cleanups = append(e.cleanups, fn) }

// end closes everything and looks for what is left.
func (e *Env) end() {
	e.Helper()
	if !e.together {
		e.inherited()
	}
	e.within("a Cleanup", func() {
		for i := len(e.cleanups) - 1; i >= 0; i-- {
			e.cleanups[i]()
		}
	})
	for i, t := range e.transports {
		e.within(fmt.Sprintf("Close of Transport %d", i+1), func() {
			assert.NoError(e, t.Close(), "close the Transport")
		})
		e.tally(t.Stats())
	}
	if e.bystanders != nil {
		e.leaveBystanders()
	}
	e.mu.Lock()
	for _, h := range e.hooks {
		h.check()
	}
	e.mu.Unlock()
	if e.Ended != nil {
		e.Ended(e)
	}
	if !e.together {
		e.before.compare(e)
	}
}

// tally checks the figures of a Transport that has been closed.
func (e *Env) tally(s session.Stats) {
	e.Helper()
	assert.Zero(e, s.Streams, "figures after the end: %+v", s)
	assert.Zero(e, s.Sockets, "figures after the end: %+v", s)
	assert.Zero(e, s.Requests, "figures after the end: %+v", s)
	assert.Zero(e, s.BuffersTaken, "figures after the end: %+v", s)
	assert.Equal(e, s.Closed, s.Opened, "streams that were opened, and that were closed")
	assert.Equal(e, s.BytesDelivered+s.BytesDropped+s.TLSOverhead, s.BytesIn, "bytes that came in, and those that were delivered or dropped")
}

// inherited looks for descriptors of the rule that are not close-on-exec, so that child processes would get them.
func (e *Env) inherited() {
	e.Helper()
	for fd, target := range takeCensus().files {
		if e.before.files[fd] != target {
			assert.True(e, closeOnExec(fd), "descriptor %s -> %s is not close-on-exec", fd, target)
		}
	}
}

// census counts what the process has.
type census struct {
	goroutines int
	files      map[string]string
}

func takeCensus() census {
	c := census{goroutines: runtime.NumGoroutine(), files: map[string]string{}}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, f := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			c.files[f.Name()] = target
		}
	}
	return c
}

// compare waits until there is no more than there was, and fails if there still is.
func (c census) compare(e *Env) {
	e.Helper()
	var now census
	if waitAtMost(leaving, func() bool {
		now = takeCensus()
		return now.goroutines <= c.goroutines && len(now.files) <= len(c.files)
	}) {
		return
	}
	var extra []string
	for fd, target := range now.files {
		if c.files[fd] != target {
			extra = append(extra, fd+" -> "+target)
		}
	}
	e.Errorf("left behind after %v: %d goroutines and %d descriptors more than before: %s\n%s", leaving,
		now.goroutines-c.goroutines, len(now.files)-len(c.files), strings.Join(extra, ", "), stacks())
}

func waitFor(done func() bool) bool { return waitAtMost(patience, done) }

func waitAtMost(d time.Duration, done func() bool) bool {
	pause := 20 * time.Microsecond // most events come soon
	for deadline := time.Now().Add(d); ; time.Sleep(pause) {
		if done() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		pause = min(2*pause, time.Millisecond)
	}
}

// Eventually waits until done returns true, and fails the test if it never does.
func (e *Env) Eventually(done func() bool, format string, args ...any) {
	e.Helper()
	require.True(e, waitFor(done), "not within %v: %s", patience, fmt.Sprintf(format, args...))
}

// opError checks that err is a *net.OpError of an operation on a network. Any goroutine.
func (e *Env) opError(err error, op, network string) {
	e.Helper()
	var got *net.OpError
	if assert.ErrorAs(e, err, &got, "%s on %q", op, network) {
		assert.Equal(e, op, got.Op, "the operation of %v", err)
		assert.Equal(e, network, got.Net, "the network of %v", err)
	}
}

// Under is the Transport under test that Pair uses, with the Setup's options.
func (e *Env) Under() *session.Engine {
	if e.under == nil {
		e.under = e.Open(nil)
	}
	return e.under
}

// Address returns an address to listen at.
func (e *Env) Address() string {
	if e.Network == "unix" {
		return filepath.Join(e.TempDir(), "s")
	}
	return "127.0.0.1:0"
}

// Pair connects a stream under test, with h as its handler, to a Peer. It returns when OnOpen has run.
func (e *Env) Pair(h *Hooks, o session.StreamOptions) (*session.Stream, Peer) {
	e.Helper()
	return e.PairOn(e.Under(), h, o)
}

// PairOn is Pair on Transport t.
func (e *Env) PairOn(t *session.Engine, h *Hooks, o session.StreamOptions) (*session.Stream, Peer) {
	e.Helper()
	h.env(e)
	if e.Dialled {
		return e.dialled(t, h, o)
	}
	l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{StreamOptions: o, TLS: e.serverTLS()})
	require.NoError(e, err, "listen")
	p := e.connect(l.Addr(), e.TLS)
	s := h.Opened()
	require.NoError(e, l.Close(), "close the listener")
	return s, p
}

func (e *Env) dialled(t *session.Engine, h *Hooks, o session.StreamOptions) (*session.Stream, Peer) {
	e.Helper()
	l, err := net.Listen(e.Network, e.Address())
	require.NoError(e, err, "listen")
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		if e.TLS && c != nil {
			c = shakenHands(tls.Server(c, serverTLS()))
		}
		accepted <- c
	}()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := t.Dial(ctx, e.Network, l.Addr().String(), h, &session.DialOptions{StreamOptions: o, TLS: e.clientTLS()})
	require.NoError(e, err, "dial")
	c := arrives(e, accepted)
	require.NotNil(e, c, "accept failed")
	return s, e.plain(c)
}

// Connect connects a Peer to an address.
func (e *Env) Connect(a net.Addr) Peer {
	e.Helper()
	return e.connect(a, false)
}

// connect is Connect, with TLS or without.
func (e *Env) connect(a net.Addr, encrypted bool) Peer {
	e.Helper()
	if e.Peers != nil {
		if e.peers == nil {
			e.peers = e.open(e.Peers, Options{})
		}
		p, err := dialPeer(e.peers, a)
		require.NoError(e, err, "connect")
		e.Cleanup(func() { _ = p.Reset() })
		return p
	}
	c, err := net.DialTimeout(a.Network(), a.String(), patience)
	require.NoError(e, err, "connect")
	if encrypted {
		c = shakenHands(tls.Client(c, clientTLS()))
		require.NotNil(e, c, "the peer's TLS handshake")
	}
	return e.plain(c)
}

func (e *Env) plain(c net.Conn) Peer {
	e.Cleanup(func() { _ = c.Close() })
	return plainPeer{c.(halfCloser)}
}

// Pattern returns n bytes in which every short piece occurs only once.
func Pattern(n int) []byte { return bytes.Clone(pattern()[:n:n]) }

// pattern is made once: byte by byte it takes long under the race detector.
var pattern = sync.OnceValue(func() []byte {
	p := make([]byte, 20<<20)
	x := uint32(2463534242)
	for i := range p {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		p[i] = byte(x >> 11)
	}
	return p
})

// ReadAll reads exactly n bytes from a Peer.
func (e *Env) ReadAll(p Peer, n int) []byte {
	e.Helper()
	b := make([]byte, n)
	k, err := io.ReadFull(p, b)
	require.NoError(e, err, "the peer read %d of %d bytes", k, n)
	return b
}
