package session

import (
	"context"
	"errors"
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

	// StreamOptions are those of accepted streams, where they are not the Transport's.
	StreamOptions
}

// ListenerStats are a listener's figures.
type ListenerStats struct {
	Accepted uint64 // connections
	Errors   uint64 // accepts that failed
	Backoffs uint64 // times that it waited for resources: EMFILE, ENFILE, ENOBUFS, ENOMEM
}

// Listener accepts connections and makes streams of them.
type Listener struct {
	engine  *Engine
	handler Handler
	opts    *StreamOptions
	addr    net.Addr
	heads   []*acceptor
	path    string      // of the Unix socket that Close removes, or ""
	file    os.FileInfo // what was made there
	once    sync.Once
	left    sync.WaitGroup

	accepted, errors, backoffs atomic.Uint64
}

// acceptor is a listener's socket on one loop.
type acceptor struct {
	backend.NoEvents
	listener *Listener
	loop     *Loop
	sock     backend.Socket
	timer    backend.Timer
	delay    time.Duration
	logged   int64 // when the last failure was logged, of the loop's clock
	over     bool
}

const (
	firstBackoff = 5 * time.Millisecond
	lastBackoff  = time.Second
)

// Listen opens a listener on tcp, tcp4, tcp6 or unix. Every accepted connection becomes a stream of h. Errors are
// *net.OpError as of net.Listen.
func (e *Engine) Listen(network, address string, h Handler, o *ListenOptions) (*Listener, error) {
	if h == nil {
		return nil, errors.New("tandem: listen: Handler is nil")
	}
	var mine ListenOptions
	if o != nil {
		mine = *o
	}
	opts, err := mine.StreamOptions.over(e.defaults).Complete()
	if err != nil {
		return nil, err
	}
	l := &Listener{engine: e, handler: h, opts: opts}
	fds, err := l.bind(network, address, mine.Control)
	if err != nil {
		return nil, err
	}
	if err := l.start(fds); err != nil {
		for _, fd := range fds {
			backend.CloseFD(fd)
		}
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	return l, nil
}

// start spreads the sockets over the loops and begins to accept.
func (l *Listener) start(fds []int) error {
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.down {
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

// Addr is the address that is listened on; with port 0 asked for, the one that was given.
func (l *Listener) Addr() net.Addr { return l.addr }

// Stats returns the listener's figures. Any goroutine.
func (l *Listener) Stats() ListenerStats {
	return ListenerStats{Accepted: l.accepted.Load(), Errors: l.errors.Load(), Backoffs: l.backoffs.Load()}
}

// Close ends accepting, and no stream. When it returns the address is free; except in a callback, or on the goroutine
// of a caller-driven Transport, where that is so when the loop's turn has ended.
func (l *Listener) Close() error {
	l.close()
	if !l.engine.onLoop() {
		l.wait()
	}
	return nil
}

func (l *Listener) wait() { l.left.Wait() }

func (l *Listener) close() {
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
func (a *acceptor) Accepted(fd int, err error) {
	if err != nil {
		a.failed(err)
		return
	}
	a.delay = 0
	a.listener.accepted.Add(1)
	a.loop.Count[backend.Accepts]++
	to := a.loop
	if e := a.listener.engine; e.balance != ReusePort && len(e.loops) > 1 {
		to = e.pick(e.source(fd))
	}
	if to == a.loop {
		to.open(fd, a.listener.handler, a.listener.opts)
		return
	}
	l := a.listener
	if to.Post(backend.TaskFunc(func() { to.open(fd, l.handler, l.opts) })) != nil {
		backend.CloseFD(fd)
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
	if !a.over {
		a.loop.Driver.Accept(&a.sock, true)
	}
}

// bind makes the listening sockets: one, or with ReusePort one for each loop. The standard library resolves, binds
// and listens; its sockets are duplicated, because its own are in Go's poller.
func (l *Listener) bind(network, address string, control func(string, string, syscall.RawConn) error) (fds []int, err error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
	n, config := 1, net.ListenConfig{Control: control, KeepAlive: -1}
	config.SetMultipathTCP(false)
	if l.engine.balance == ReusePort && network != "unix" {
		n = len(l.engine.loops)
		config.Control = func(network, address string, c syscall.RawConn) error {
			var err error
			if cerr := c.Control(func(fd uintptr) { err = backend.SetReusePort(int(fd)) }); cerr != nil || err != nil {
				return errors.Join(cerr, err)
			}
			if control == nil {
				return nil
			}
			return control(network, address, c)
		}
	}
	for range n {
		fd, err := l.bindOne(&config, network, address)
		if err != nil {
			for _, fd := range fds {
				backend.CloseFD(fd)
			}
			return nil, err
		}
		fds = append(fds, fd)
		address = l.addr.String()
	}
	return fds, nil
}

func (l *Listener) bindOne(config *net.ListenConfig, network, address string) (int, error) {
	ln, err := config.Listen(context.Background(), network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && removeStale(address) {
		ln, err = config.Listen(context.Background(), network, address)
	}
	if err != nil {
		return -1, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		if info, err := os.Lstat(address); err == nil {
			l.path, l.file = address, info
		}
	}
	l.addr = ln.Addr()
	fd, err := duplicate(ln.(syscall.Conn))
	_ = ln.Close()
	if err != nil {
		return -1, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	if network != "unix" { // accepted connections inherit both, tcp(7)
		if err := errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd)); err != nil {
			backend.CloseFD(fd)
			return -1, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: fmt.Errorf("setsockopt: %w", err)}
		}
	}
	return fd, nil
}

// removeStale removes a Unix socket that nobody listens on any longer, and reports whether it did.
func removeStale(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED) && os.Remove(path) == nil
}
