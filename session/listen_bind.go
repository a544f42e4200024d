package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// How long Listen tries an address that is taken, and how often.
const (
	takenPatience = 200 * time.Millisecond
	takenInterval = 5 * time.Millisecond
)

// open binds, or takes over what is bound already.
func (l *listener) open(network, address string, o *ListenOptions) ([]int, error) {
	if o.From == nil {
		return l.bind(network, address, o.Control)
	}
	fd, err := duplicate(o.From)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: fmt.Errorf("take over a socket: %w", err)}
	}
	if err := l.takeOver(network, fd); err != nil {
		backend.CloseFD(fd)
		return nil, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: fmt.Errorf("take over a socket: %w", err)}
	}
	return []int{fd}, nil
}

func (l *listener) takeOver(network string, fd int) error {
	at := backend.LocalAddress(fd)
	l.addr = at.NetAddr()
	switch {
	case !backend.IsListening(fd):
		return fmt.Errorf("it is not a stream socket that listens: %w", syscall.EINVAL)
	case (at.Kind == backend.UnixAddress) != (network == "unix"):
		return fmt.Errorf("it does not listen on %s: %w", network, syscall.EAFNOSUPPORT)
	case network == "unix":
		return nil
	}
	return defaults(fd, network, false)
}

// bind makes the listening sockets: one, or with ReusePort one for each loop. The standard library resolves, binds
// and listens; its sockets are duplicated, because its own are in Go's poller.
func (l *listener) bind(network, address string, control func(string, string, syscall.RawConn) error) (fds []int, err error) {
	n, reuse := 1, l.engine.balance == ReusePort && network != "unix"
	if reuse {
		n = len(l.engine.loops)
	}
	config := net.ListenConfig{KeepAlive: -1, Control: func(network, address string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = defaults(int(fd), network, reuse) }); cerr != nil || err != nil {
			return errors.Join(cerr, err)
		}
		return control(network, address, c)
	}}
	config.SetMultipathTCP(false)
	for range n {
		fd, err := l.bindOne(&config, network, address)
		if err != nil {
			closeAll(fds)
			return nil, err
		}
		fds = append(fds, fd)
		address = l.addr.String()
	}
	return fds, nil
}

func (l *listener) bindOne(config *net.ListenConfig, network, address string) (int, error) {
	listen := func() (net.Listener, error) { return config.Listen(context.Background(), network, address) }
	var ln net.Listener
	var err error
	if network == "unix" && isPath(address) {
		ln, err = l.bindPath(listen, address)
	} else {
		ln, err = l.bindAgain(listen)
	}
	if err != nil {
		return -1, err
	}
	l.addr = ln.Addr()
	fd, err := duplicate(ln.(syscall.Conn))
	_ = ln.Close()
	if err != nil {
		l.file.remove(l.patience())
		return -1, &net.OpError{Op: "listen", Net: network, Addr: l.addr, Err: err}
	}
	return fd, nil
}

// bindAgain listens, and again for a while if the address is taken, because the kernel frees those of a process that
// used io_uring late: up to 33 ms after its end were seen on Linux 6.18.
func (l *listener) bindAgain(listen func() (net.Listener, error)) (net.Listener, error) {
	clock := l.engine.clock
	for end := clock.Now().Add(l.patience()); ; backend.Sleep(clock, takenInterval) {
		ln, err := listen()
		if !errors.Is(err, syscall.EADDRINUSE) || clock.Now().After(end) {
			return ln, err
		}
		if l.engine.down.Load() {
			return nil, err
		}
	}
}

// patience is how long the caller may be made to wait: in a callback not at all.
func (l *listener) patience() time.Duration {
	if l.engine.inCallback() {
		return 0
	}
	return takenPatience
}

// inCallback reports whether the caller is a callback, and holds up a loop.
func (e *Engine) inCallback() bool {
	if e.driven {
		return e.loops[0].Here() && e.loops[0].Stepping()
	}
	return e.onLoop()
}

// defaults are set before all else, so that the user's options and Control have the last word. Accepted connections
// inherit the first two, tcp(7).
func defaults(fd int, network string, reuse bool) error {
	if network == "unix" {
		return nil
	}
	err := errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd))
	if reuse {
		err = errors.Join(err, backend.SetReusePort(fd))
	}
	return err
}
