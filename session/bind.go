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
func (l *Listener) sockets(network, address string, o *ListenOptions) ([]int, error) {
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

func (l *Listener) takeOver(network string, fd int) error {
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
	return errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd))
}

// bind makes the listening sockets: one, or with ReusePort one for each loop. The standard library resolves, binds
// and listens; its sockets are duplicated, because its own are in Go's poller.
func (l *Listener) bind(network, address string, control func(string, string, syscall.RawConn) error) (fds []int, err error) {
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
