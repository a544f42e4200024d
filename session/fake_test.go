package session

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// A kernel and a clock that a test moves by hand: no socket, no wait.

// fakeClock is a backend.Clock that stands still until advance.
type fakeClock struct {
	mu     sync.Mutex // guards what follows
	now    time.Time
	timers map[*fakeTimer]struct{}
}

type fakeTimer struct {
	when time.Time
	f    func()
}

func newFakeClock() *fakeClock {
	return &fakeClock{now: time.Unix(1_000_000, 0), timers: map[*fakeTimer]struct{}{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func (c *fakeClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &fakeTimer{c.now.Add(d), f}
	c.timers[t] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waits := c.timers[t]
		delete(c.timers, t)
		return waits
	}
}

// advance moves the time, and calls what is due.
func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for t := range c.timers {
		if !t.when.After(c.now) {
			due = append(due, t.f)
			delete(c.timers, t)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// fakeContext is a context whose deadline the clock keeps.
type fakeContext struct {
	context.Context
	deadline time.Time
}

func (c *fakeContext) Deadline() (time.Time, bool) { return c.deadline, true }

func (c *fakeContext) Err() error {
	if c.Context.Err() == nil {
		return nil
	}
	return context.Cause(c.Context)
}

func (c *fakeClock) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	stop := c.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return &fakeContext{inner, c.Now().Add(d)}, func() { stop(); cancel(context.Canceled) }
}

// fakeSocket is a socket of a fakeKernel, with what its peer does.
type fakeSocket struct {
	sock   *backend.Socket // nil: not attached
	driver *fakeDriver     // to which it is attached

	receiving, accepting, connecting bool // what the driver was asked for
	sending                          bool // a Send found no room

	in      []byte // what the peer has sent
	eof     bool   // and then finished
	failure error  // or failed
	backlog []any  // *fakeSocket or error, for a listener
	answer  error  // of the connect; errPending: none yet
	room    int    // how many bytes the kernel takes
	out     []byte // what it took
	fin     bool
	closed  bool
	how     backend.Closing
	options []backend.SocketOption
	local   backend.Address // instead of "local"
	peer    backend.Address
}

// fakeKernel implements backend.Sockets for any number of drivers.
type fakeKernel struct {
	mu       sync.Mutex // guards what follows; the sockets belong to the test's goroutine
	sockets  []*fakeSocket
	refuse   error // of NewSocket, Listen, Adopt, HandOver and Attach
	onSocket func(*fakeSocket)
	unlinked int
	given    []net.Conn // the test's ends of what HandOver returned
}

var errPending = backend.ErrPending

const plenty = 1 << 30

func (k *fakeKernel) socket() (*fakeSocket, backend.Descriptor) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := &fakeSocket{room: plenty, answer: errPending}
	k.sockets = append(k.sockets, f)
	return f, backend.NewDescriptor(len(k.sockets) - 1)
}

func (k *fakeKernel) of(d backend.Descriptor) *fakeSocket {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sockets[d.FD()]
}

func (k *fakeKernel) TrySend(d backend.Descriptor, p []byte) (int, error) {
	return k.TrySendVector(d, [][]byte{p})
}

func (k *fakeKernel) TrySendVector(d backend.Descriptor, bufs [][]byte) (n int, err error) {
	f := k.of(d)
	if f.failure != nil {
		return 0, f.failure
	}
	for _, p := range bufs {
		took := min(len(p), f.room)
		f.out = append(f.out, p[:took]...)
		f.room -= took
		n += took
	}
	return n, nil
}

func (k *fakeKernel) TryReceive(d backend.Descriptor, p []byte) (int, error) {
	f := k.of(d)
	n := copy(p, f.in)
	f.in = f.in[n:]
	if n == 0 && f.eof {
		return 0, io.EOF
	}
	return n, nil
}

func (k *fakeKernel) ShutdownWrite(d backend.Descriptor) error { k.of(d).fin = true; return nil }

func (k *fakeKernel) CloseSocket(d backend.Descriptor, how backend.Closing) {
	f := k.of(d)
	if f.closed {
		panic("a descriptor is closed twice")
	}
	f.closed, f.how = true, how
}

func (k *fakeKernel) TakeError(d backend.Descriptor) error { return k.of(d).failure }

func (k *fakeKernel) HasInput(d backend.Descriptor) bool { return len(k.of(d).in) > 0 }

func (k *fakeKernel) Unsent(backend.Descriptor) int { return 0 }

func (k *fakeKernel) LocalAddress(d backend.Descriptor) backend.Address {
	if local := k.of(d).local; local.Kind != backend.NoAddress {
		return local
	}
	return fakeAddress("local")
}

func (k *fakeKernel) RemoteAddress(d backend.Descriptor) backend.Address { return k.of(d).peer }

func (k *fakeKernel) SetOptions(d backend.Descriptor, o []backend.SocketOption, _ backend.SocketPlace) error {
	k.of(d).options = append(k.of(d).options, o...)
	return k.refuse
}

func (k *fakeKernel) Option(backend.Descriptor, backend.SocketOption) (backend.SocketOption, error) {
	return backend.NoDelay(true), k.refuse
}

func (k *fakeKernel) Control(d backend.Descriptor, f func(uintptr)) { f(uintptr(d.FD())) }

func (k *fakeKernel) NewSocket(_ backend.Address, o backend.DialSocket) (backend.Descriptor, error) {
	if k.refuse != nil {
		return backend.Descriptor{}, k.refuse
	}
	if o.Control != nil {
		if err := o.Control("tcp4", "", nil); err != nil {
			return backend.Descriptor{}, err
		}
	}
	f, d := k.socket()
	if k.onSocket != nil {
		k.onSocket(f)
	}
	return d, nil
}

func (k *fakeKernel) BeginConnect(d backend.Descriptor, remote backend.Address) (bool, error) {
	f := k.of(d)
	f.peer = remote
	if f.answer == errPending {
		return false, nil
	}
	return f.answer == nil, f.answer
}

func (k *fakeKernel) Listen(string, string, backend.ListenSocket) (backend.Listening, error) {
	if k.refuse != nil {
		return backend.Listening{}, k.refuse
	}
	_, d := k.socket()
	return backend.Listening{
		Descriptor: d, Addr: fakeAddress("listener").NetAddr(), Unlink: func(time.Duration) { k.unlinked++ },
	}, nil
}

func (k *fakeKernel) SetBacklog(backend.Descriptor, int) error { return k.refuse }
func (k *fakeKernel) MaxBacklog() int                          { return 4096 }

func (k *fakeKernel) AdoptListener(string, syscall.Conn) (backend.Listening, error) {
	return k.Listen("", "", backend.ListenSocket{})
}

func (k *fakeKernel) Adopt(syscall.Conn) (backend.Descriptor, backend.Address, error) {
	if k.refuse != nil {
		return backend.Descriptor{}, backend.Address{}, k.refuse
	}
	f, d := k.socket()
	f.peer = fakeAddress("peer")
	return d, f.peer, nil
}

func (k *fakeKernel) HandOver(backend.Descriptor) (net.Conn, error) {
	if k.refuse != nil {
		return nil, k.refuse
	}
	ours, theirs := net.Pipe()
	k.given = append(k.given, theirs)
	return ours, nil
}

func (k *fakeKernel) HungUp(net.Conn) bool       { return false }
func (k *fakeKernel) DiscardInput(net.Conn, int) {}
func fakeAddress(name string) backend.Address {
	return backend.Address{Unix: name, Kind: backend.UnixAddress}
}
func (f *fakeSocket) got() string                   { return string(f.out) }
func (f *fakeSocket) send(s string)                 { f.in = append(f.in, s...) }
func (d *fakeDriver) Start(*backend.Counters) error { return nil }
func (d *fakeDriver) Wake()                         {}
func (d *fakeDriver) Keep() func()                  { return nil }
func (d *fakeDriver) Features() []string            { return nil }
func (d *fakeDriver) Close() error                  { return nil }

// fakeDriver moves the bytes of a fakeKernel.
type fakeDriver struct {
	*fakeKernel
	sockets  []*fakeSocket
	released backend.Releases
	fail     error // of the next Poll
	onAccept func(on bool)
}

var _ backend.Driver = (*fakeDriver)(nil)

func (d *fakeDriver) Attach(s *backend.Socket) error {
	if d.refuse != nil {
		return d.refuse
	}
	f := d.of(s.Descriptor)
	f.sock, f.driver = s, d
	d.sockets = append(d.sockets, f)
	return nil
}

func (d *fakeDriver) Receive(s *backend.Socket, on bool) { d.of(s.Descriptor).receiving = on }
func (d *fakeDriver) Connect(s *backend.Socket)          { d.of(s.Descriptor).connecting = true }

func (d *fakeDriver) Accept(s *backend.Socket, on bool) {
	d.of(s.Descriptor).accepting = on
	if d.onAccept != nil {
		d.onAccept(on)
	}
}

func (d *fakeDriver) Send(s *backend.Socket, bufs [][]byte) (int, error) {
	n, err := d.TrySendVector(s.Descriptor, bufs)
	if n == 0 && err == nil {
		d.of(s.Descriptor).sending = true
		return 0, backend.ErrPending
	}
	return n, err
}

func (d *fakeDriver) Release(s *backend.Socket) {
	f := d.of(s.Descriptor)
	f.sock, f.receiving, f.accepting, f.connecting, f.sending = nil, false, false, false, false
	d.released.Add(s)
}

func (d *fakeDriver) Outstanding() backend.Outstanding {
	return backend.Outstanding{Sockets: d.released.Len()}
}

// Poll reports, for each socket, what it was asked for and what has come. It never sleeps.
func (d *fakeDriver) Poll(time.Duration) (int, error) {
	if d.fail != nil {
		return 0, d.fail
	}
	n := d.released.Report()
	for _, f := range d.sockets {
		if f.sock != nil && f.driver == d {
			n += d.report(f)
		}
	}
	return n, nil
}

func (d *fakeDriver) report(f *fakeSocket) int {
	switch owner := f.sock.Owner; {
	case f.connecting && f.answer != errPending:
		f.connecting = false
		owner.Connected(f.answer)
	case f.sending && (f.room > 0 || f.failure != nil):
		f.sending = false
		owner.Sent(0, nil)
	case f.receiving && len(f.in) > 0:
		p := f.in
		f.in = nil
		owner.Received(p)
	case f.receiving && (f.eof || f.failure != nil):
		f.receiving = false
		if err := f.failure; err != nil {
			owner.ReceiveEnded(err)
		} else {
			owner.ReceiveEnded(io.EOF)
		}
	case f.accepting && len(f.backlog) > 0:
		next := f.backlog[0]
		f.backlog = f.backlog[1:]
		if err, failed := next.(error); failed {
			f.accepting = false
			owner.Accepted(backend.Descriptor{}, backend.Address{}, err)
		} else {
			owner.Accepted(next.(backend.Descriptor), backend.Address{}, nil)
		}
	case !f.receiving && f.failure != nil && f.room != 0:
		f.room = 0 // once
		owner.HungUp()
	default:
		return 0
	}
	return 1
}

// stage is a caller-driven engine on a fakeKernel, whose loops run in turn on the test's goroutine.
type stage struct {
	*testing.T
	*fakeKernel
	engine  *Engine
	clock   *fakeClock
	drivers []*fakeDriver
	log     bytes.Buffer
}

func newStage(t *testing.T, loops int) *stage {
	t.Helper()
	s := &stage{T: t, fakeKernel: &fakeKernel{}, clock: newFakeClock()}
	c := Config{
		CallerDriven: true, Balance: ReusePort, Clock: s.clock, Logger: slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	for range loops {
		d := &fakeDriver{fakeKernel: s.fakeKernel}
		s.drivers = append(s.drivers, d)
		c.Drivers = append(c.Drivers, d)
	}
	e, err := New(c)
	require.NoError(t, err)
	s.engine = e
	for _, l := range e.loops {
		require.NoError(t, l.Bind())
	}
	return s
}

// turn has every loop that lives do what it has to.
func (s *stage) turn() {
	s.Helper()
	for range 3 {
		for _, l := range s.engine.loops {
			if !l.dead.Load() {
				_, err := l.Step(0)
				require.NoError(s, err)
			}
		}
	}
}

// pass has time pass in small steps, with turns between them.
func (s *stage) pass(d time.Duration) {
	s.Helper()
	for range 20 {
		s.clock.advance(d / 20)
		s.turn()
	}
}

// kill ends a loop as a failed driver does.
func (s *stage) kill(l *Loop, err error) {
	s.Helper()
	l.Fail(err)
	_, stepErr := l.Step(0)
	require.ErrorIs(s, stepErr, err)
}

// connection returns a socket that passes for one that was accepted.
func (s *stage) connection() backend.Descriptor {
	f, d := s.socket()
	f.peer = fakeAddress("peer")
	return d
}

func (s *stage) closed(d backend.Descriptor, what string) {
	s.Helper()
	assert.True(s, s.of(d).closed, "%s is still open", what)
}

// elsewhere runs fn on another goroutine, and waits for it.
func elsewhere(fn func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	<-done
}
