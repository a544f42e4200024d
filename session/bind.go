package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// sockets binds, or takes over what is bound already.
func (l *listener) sockets(network, address string, o *ListenOptions) ([]int, error) {
	switch network {
	case "tcp", "tcp4", "tcp6", "unix":
	default:
		return nil, &net.OpError{Op: "listen", Net: network, Err: net.UnknownNetworkError(network)}
	}
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

func (l *listener) bindOne(config *net.ListenConfig, network, address string) (int, error) {
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
	return fd, nil
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
