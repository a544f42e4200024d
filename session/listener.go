package session

import (
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// ListenOptions are what one listener does differently. The zero value is right.
type ListenOptions struct {
	// Control is called with the socket before it is bound, as in net.ListenConfig.
	Control func(network, address string, c syscall.RawConn) error

	// Socket are options of the listening socket and of all that it accepts, set before Control is called. They come
	// after the defaults, which are NoDelay(true) and KeepAlive(0, 0, 0). Default none.
	Socket []backend.SocketOption

	// From is a listening socket from elsewhere, such as an *os.File of InheritedListeners or a *net.TCPListener. It
	// is duplicated, used instead of binding, and stays the caller's. Control is not called. The network must be its
	// network, the address is not looked at.
	From syscall.Conn

	// MaxConns is how many streams of this listener there may be at a time. Further connections wait in the backlog.
	// Default 0: no limit.
	MaxConns int

	// RejectOverLimit resets connections above MaxConns instead.
	RejectOverLimit bool

	// StreamOptions are those of accepted streams, where they are not the Transport's.
	StreamOptions
}

// ListenerStats are a listener's figures.
type ListenerStats struct {
	Accepted uint64 // connections
	Errors   uint64 // accepts that failed
	Backoffs uint64 // times that it waited for resources: EMFILE, ENFILE, ENOBUFS, ENOMEM
	Rejected uint64 // connections reset because of MaxConns and RejectOverLimit
	Streams  int    // there are now
}

// Listener accepts connections, and makes streams of them, until it is closed. Any goroutine may use it.
type Listener interface {
	// Addr is the address that is listened on; with port 0 asked for, the one that was given.
	Addr() net.Addr

	// Close ends accepting, and no stream. When it returns the address is free; except in a callback, or on the
	// goroutine of a caller-driven Transport, where that is so when the loop's turn has ended.
	Close() error

	// Stats returns the listener's figures.
	Stats() ListenerStats
}

// listener is a Listener, with a socket on one loop or more.
type listener struct {
	engine  *Engine
	handler Handler
	opts    *StreamOptions
	sockopt socketOptions
	max     int64 // MaxConns, 0: none
	reject  bool
	addr    net.Addr
	heads   []*acceptor
	path    string      // of the Unix socket that Close removes, or ""
	file    os.FileInfo // what was made there
	once    sync.Once
	left    sync.WaitGroup

	accepted, errors, backoffs, rejected atomic.Uint64

	live atomic.Int64 // streams that have not ended
}

// acceptor is a listener's socket on one loop.
type acceptor struct {
	backend.NoEvents
	listener *listener
	loop     *Loop
	sock     backend.Socket
	timer    backend.Timer
	delay    time.Duration
	full     atomic.Bool // at MaxConns: a stream that ends has to wake it
	parked   []int       // accepted above MaxConns before accepting had ended; for the peer they are in the backlog
	logged   int64       // when the last failure was logged, of the loop's clock
	over     bool
}

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// Listen opens a listener on tcp, tcp4, tcp6 or unix. Every accepted connection becomes a stream of h. Errors are
// *net.OpError as of net.Listen.
func (e *Engine) Listen(network, address string, h Handler, o *ListenOptions) (Listener, error) {
	if err := checkHandler(h); err != nil {
		return nil, fmt.Errorf("tandem: listen: %w", err)
	}
	var mine ListenOptions
	if o != nil {
		mine = *o
	}
	opts, err := mine.StreamOptions.over(e.defaults).Complete()
	if err != nil {
		return nil, err
	}
	if mine.MaxConns < 0 {
		return nil, fmt.Errorf("tandem: listen: MaxConns is %d; it must be positive, or 0 for no limit", mine.MaxConns)
	}
	l := &listener{engine: e, handler: h, opts: opts, max: int64(mine.MaxConns), reject: mine.RejectOverLimit}
	if l.sockopt, err = newSocketOptions(network, backend.OnListener, mine.Socket, mine.Control); err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	mine.Control = l.sockopt.control
	fds, err := l.sockets(network, address, &mine)
	if err != nil {
		return nil, err
	}
	if err = l.sockopt.listening(fds, mine.From != nil); err == nil {
		err = l.start(fds)
	}
	if err != nil {
		l.close() // removes the file of a Unix socket
		for _, fd := range fds {
			backend.CloseFD(fd)
		}
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	return l, nil
}

// start spreads the sockets over the loops and begins to accept.
func (l *listener) start(fds []int) error {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down.Load() {
		return net.ErrClosed
	}
	first := int(e.next.Load()) // listeners of several ports do not all accept on the first loop
	for i, fd := range fds {
		a := &acceptor{listener: l, loop: e.loops[(first+i)%len(e.loops)]}
		a.sock = backend.Socket{FD: fd, Owner: a}
		a.timer.Fire = a.resume
		l.heads = append(l.heads, a)
	}
	if len(e.loops) > 1 {
		e.next.Add(1)
	}
	e.listeners[l] = struct{}{}
	for _, a := range l.heads {
		l.left.Add(1)
		if err := a.loop.begin(a.start); err != nil {
			a.gone() // the loop has failed
		}
	}
	return nil
}

// Addr implements Listener.
func (l *listener) Addr() net.Addr { return l.addr }

// Stats implements Listener.
func (l *listener) Stats() ListenerStats {
	return ListenerStats{Accepted: l.accepted.Load(), Errors: l.errors.Load(), Backoffs: l.backoffs.Load(),
		Rejected: l.rejected.Load(), Streams: int(l.live.Load())}
}

// Close implements Listener.
func (l *listener) Close() error {
	l.close()
	if e := l.engine; !e.onLoop() && (!e.driven || e.loops[0].Bound()) {
		l.wait()
	}
	return nil
}

func (l *listener) wait() { l.left.Wait() }

func (l *listener) close() {
	l.once.Do(func() {
		l.engine.mu.Lock()
		delete(l.engine.listeners, l)
		l.engine.mu.Unlock()
		if l.path != "" {
			if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.file) {
				_ = os.Remove(l.path)
			}
		}
		for _, a := range l.heads {
			_ = a.loop.Post(backend.TaskFunc(a.stop))
		}
	})
}

func (a *acceptor) start() {
	if a.loop.draining {
		a.loop.unhold()
		a.gone()
		return
	}
	if err := a.loop.Driver.Attach(&a.sock); err != nil {
		a.loop.engine.log.Error("tandem: listen", "address", a.listener.addr, "error", err)
		a.loop.unhold()
		a.gone()
		return
	}
	a.loop.Driver.Accept(&a.sock, true)
}

func (a *acceptor) stop() {
	if a.over {
		return
	}
	a.over = true
	a.loop.StopTimer(&a.timer)
	for _, fd := range a.parked {
		backend.ResetOnClose(fd) // as the kernel does with its backlog
		backend.CloseFD(fd)
	}
	a.parked = nil
	a.loop.Driver.Release(&a.sock)
}

// Released implements backend.Events.
func (a *acceptor) Released() {
	a.loop.unhold()
	a.gone()
}

func (a *acceptor) gone() {
	a.over = true
	backend.CloseFD(a.sock.FD)
	a.listener.left.Done()
}

// Accepted implements backend.Events.
func (a *acceptor) Accepted(fd int, _ backend.Address, err error) {
	if err != nil {
		a.failed(err)
		return
	}
	a.delay = 0
	if err := a.listener.sockopt.connected(fd); err != nil {
		a.refuse(fd, err)
		return
	}
	if a.admit(fd) {
		a.open(fd)
	}
}

// open hands a connection to its loop.
func (a *acceptor) open(fd int) {
	l, to := a.listener, a.loop
	l.accepted.Add(1)
	a.loop.Count[backend.Accepts]++
	if e := l.engine; e.balance != ReusePort && len(e.loops) > 1 {
		to = e.pick(e.source(fd))
	} else {
		to.load.Add(1)
	}
	if to == a.loop {
		to.open(fd, l)
		return
	}
	if to.Post(backend.TaskFunc(func() { to.open(fd, l) })) != nil {
		backend.CloseFD(fd)
		to.unpick()
		l.ended()
	}
}

// admit counts a connection, and sees to it that there are no more than MaxConns.
func (a *acceptor) admit(fd int) bool {
	l := a.listener
	n, ok := l.reserve()
	switch {
	case ok && (l.max == 0 || n < l.max || l.reject):
		return true
	case l.reject:
		l.rejected.Add(1)
		backend.ResetOnClose(fd)
		backend.CloseFD(fd)
		return false
	}
	a.loop.Driver.Accept(&a.sock, false)
	if !ok {
		a.parked = append(a.parked, fd)
	}
	a.full.Store(true)
	if l.live.Load() < l.max { // one ended before it could see that it has to wake this
		_ = a.loop.Post(backend.TaskFunc(a.unpark))
	}
	return ok
}

// reserve counts one more stream, if there is room, and returns how many there are.
func (l *listener) reserve() (int64, bool) {
	for {
		n := l.live.Load()
		if l.max > 0 && n >= l.max {
			return n, false
		}
		if l.live.CompareAndSwap(n, n+1) {
			return n + 1, true
		}
	}
}

// ended follows the end of a stream. Any loop.
func (l *listener) ended() {
	l.live.Add(-1)
	for _, a := range l.heads {
		if l.max > 0 && a.full.Load() {
			_ = a.loop.Post(backend.TaskFunc(a.unpark))
		}
	}
}

// unpark goes on accepting, as far as there is room.
func (a *acceptor) unpark() {
	l := a.listener
	for len(a.parked) > 0 {
		if _, ok := l.reserve(); !ok {
			return
		}
		fd := a.parked[0]
		a.parked = a.parked[1:]
		a.open(fd)
	}
	if !a.over && a.full.Load() && l.live.Load() < l.max {
		a.full.Store(false)
		a.resume()
	}
}

// source is the peer's address, if the choice of the loop depends on it.
func (e *Engine) source(fd int) backend.Address {
	if e.balance != SourceHash {
		return backend.Address{}
	}
	return backend.RemoteAddress(fd)
}

// failed decides what a failed accept means. Errors of a connection that broke before it was accepted are nothing, as
// accept(2) says; anything else is a want of resources, which passes.
func (a *acceptor) failed(err error) {
	a.listener.errors.Add(1)
	a.loop.Count[backend.AcceptErrors]++
	switch err {
	case syscall.ECONNABORTED, syscall.EPROTO, syscall.EPERM, syscall.ENETDOWN, syscall.ENOPROTOOPT, syscall.EHOSTDOWN,
		syscall.EHOSTUNREACH, syscall.EOPNOTSUPP, syscall.ENETUNREACH, syscall.ETIMEDOUT, syscall.ECONNRESET:
		a.resume()
		return
	}
	a.listener.backoffs.Add(1)
	a.delay = min(max(2*a.delay, firstBackoff), lastBackoff)
	a.loop.StartTimer(&a.timer, a.delay)
	if now := a.loop.Clock(); a.logged == 0 || now-a.logged >= int64(time.Second) {
		a.logged = now
		a.loop.engine.log.Warn("tandem: cannot accept; connections wait in the backlog. Raise the limit of open files (ulimit -n, fs.file-max), or close streams",
			"address", a.listener.addr, "error", err, "again in", a.delay)
	}
}

func (a *acceptor) resume() {
	if !a.over && !a.full.Load() {
		a.loop.Driver.Accept(&a.sock, true)
	}
}

// loopDied ends a listening socket whose loop has failed.
func (a *acceptor) loopDied(error) {
	if !a.over {
		a.loop.unhold()
		a.gone()
	}
}
