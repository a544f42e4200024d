package portable

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// Listen implements backend.Sockets.
func (s *sockets) Listen(network, address string, o backend.ListenSocket) (backend.Listening, error) {
	if network == "vsock" || o.Multipath {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Err: errOtherBackends}
	}
	if !s.native {
		return s.listenPlain(network, address, o)
	}
	file, at, err := listenNative(network, address, o)
	if err != nil {
		return at, err
	}
	f, err := fileListener(file)
	if err != nil {
		if at.Unlink != nil {
			at.Unlink(o.Patience)
		}
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Addr: at.Addr, Err: step(err)}
	}
	at.Descriptor = s.add(f)
	return at, nil
}

// errOtherBackends is for sockets that package net does not know, or that nobody has tried with it.
var errOtherBackends = fmt.Errorf("vsock and MPTCP are for epoll and io_uring: %w", errors.ErrUnsupported)

// fileListener makes the file of a listener, and closes what it is made of.
func fileListener(from *os.File) (*file, error) {
	defer from.Close()
	ln, err := net.FileListener(from)
	if err != nil {
		return nil, err
	}
	return newListener(ln)
}

func newListener(ln net.Listener) (*file, error) {
	own, ok := ln.(netListener)
	if !ok {
		_ = ln.Close()
		return nil, syscall.EINVAL
	}
	raw, err := own.SyscallConn()
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return &file{ln: own, raw: raw}, nil
}

// listenPlain is Listen with package net alone.
func (s *sockets) listenPlain(network, address string, o backend.ListenSocket) (backend.Listening, error) {
	refuse := func(err error) (backend.Listening, error) {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	var options file
	if err := options.remember(o.Options); err != nil {
		return refuse(err)
	}
	if o.UnixMode != 0 {
		return refuse(fmt.Errorf("ListenOptions.UnixMode, without a moment in which the file allows more: %w", errors.ErrUnsupported))
	}
	if o.ReusePort {
		return refuse(fmt.Errorf("several sockets at one address: %w", errors.ErrUnsupported))
	}
	config := net.ListenConfig{Control: o.Control}
	config.SetMultipathTCP(false)
	ln, err := o.Persist(func() (net.Listener, error) {
		for {
			ln, err := config.Listen(context.Background(), network, address)
			err = opError(err)
			if network != "unix" || !errors.Is(err, syscall.EADDRINUSE) || !removeStale(address) {
				return ln, err
			}
		}
	})
	if err != nil {
		return backend.Listening{}, err
	}
	return s.listening(ln, network, options.opts)
}

// listening is a listener of package net.
func (s *sockets) listening(ln net.Listener, network string, options []backend.SocketOption) (backend.Listening, error) {
	at := backend.Listening{Addr: ln.Addr()}
	f, err := newListener(ln)
	if err != nil {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Addr: at.Addr, Err: err}
	}
	f.opts = options
	if u, ok := at.Addr.(*net.UnixAddr); ok && u.Name != "" && u.Name[0] != '@' {
		at.Unlink = unlinker(u.Name)
	}
	at.Descriptor = s.add(f)
	return at, nil
}

// unlinker returns a function that removes the socket file at path, unless it is another by then.
func unlinker(path string) func(time.Duration) {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	return func(time.Duration) {
		if now, err := os.Lstat(path); err == nil && os.SameFile(now, made) {
			_ = os.Remove(path)
		}
	}
}

// removeStale removes the socket file at path if nobody listens there, and reports whether it did. Two that begin at
// once may both remove it; the later one has the address then.
func removeStale(path string) bool {
	before, err := os.Lstat(path)
	if err != nil || before.Mode()&os.ModeSocket == 0 {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
		return false
	}
	now, err2 := os.Lstat(path)
	return errors.Is(bare(err), syscall.ECONNREFUSED) && err2 == nil && os.SameFile(before, now) && os.Remove(path) == nil
}

// SetBacklog implements backend.Sockets.
func (s *sockets) SetBacklog(d backend.Descriptor, backlog int) error {
	if s.plain {
		return fmt.Errorf("a backlog: %w", errors.ErrUnsupported)
	}
	return within(s.at(d).control, func(fd uintptr) error { return setBacklog(fd, backlog) })
}

// MaxBacklog implements backend.Sockets.
func (s *sockets) MaxBacklog() int { return maxBacklog() }

// AdoptListener implements backend.Sockets.
func (s *sockets) AdoptListener(network string, c syscall.Conn) (backend.Listening, error) {
	var from *os.File
	var at backend.Listening
	var err error
	if network == "vsock" || strings.HasPrefix(network, "mptcp") {
		return at, errOtherBackends
	}
	if s.native {
		from, at, err = adoptListenerNative(network, c)
	} else {
		from, err = duplicateFile(c)
	}
	if err != nil {
		return at, err
	}
	f, err := fileListener(from)
	if err != nil {
		return at, fmt.Errorf("it is not a stream socket that listens: %w", step(err))
	}
	at.Addr = f.ln.Addr()
	if !s.native && (at.Addr.Network() == "unix") != (network == "unix") {
		_ = f.ln.Close()
		return at, fmt.Errorf("it does not listen on %s: %w", network, syscall.EAFNOSUPPORT)
	}
	at.Descriptor = s.add(f)
	return at, nil
}
