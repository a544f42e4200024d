package simulated

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// errOtherKernels is for sockets that a simulated kernel does not have.
var errOtherKernels = fmt.Errorf("a simulated kernel has no vsock and no MPTCP: %w", errors.ErrUnsupported)

// Listen implements backend.Sockets. A path of a Unix socket is a name, and no file, so UnixMode does nothing.
func (s sockets) Listen(network, address string, o backend.ListenSocket) (backend.Listening, error) {
	if o.Multipath {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Err: errOtherKernels}
	}
	addr, err := parseAddress(network, address)
	if err != nil {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	f, d, err := s.bindAgain(addr, o)
	if err == nil {
		if err = s.SetOptions(d, o.Options, backend.OnListener); err == nil && o.Control != nil {
			err = o.Control(network, address, rawConn(d.FD()))
		}
		if err != nil {
			s.CloseSocket(d, backend.Closing{})
		}
	}
	if err != nil {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Addr: addr.NetAddr(), Err: backend.CallError("bind", err)}
	}
	return backend.Listening{Descriptor: d, Addr: f.listens.addr.NetAddr()}, nil
}

// bindAgain makes a socket that listens, and tries an address that is taken for as long as it may.
func (s sockets) bindAgain(addr backend.Address, o backend.ListenSocket) (*file, backend.Descriptor, error) {
	for end := o.Clock.Now().Add(o.Patience); ; s.k.sleep(5 * time.Millisecond) {
		f, d, err := s.bind(addr, o.ReusePort)
		if err != syscall.EADDRINUSE || o.Clock.Now().After(end) || o.GivenUp() {
			return f, d, err
		}
	}
}

func (s sockets) bind(addr backend.Address, share bool) (*file, backend.Descriptor, error) {
	defer s.locked()()
	f, d, err := s.k.newFile()
	if err == nil {
		if f.listens, err = s.k.listen(addr, 4096, share); err != nil {
			s.k.closeFile(d, false)
		}
	}
	return f, d, err
}

// SetBacklog implements backend.Sockets.
func (s sockets) SetBacklog(d backend.Descriptor, backlog int) error {
	defer s.locked()()
	if l := s.k.file(d).listens; l != nil {
		l.backlog = backlog
	}
	return nil
}

// MaxBacklog implements backend.Sockets.
func (s sockets) MaxBacklog() int { return 4096 }

// AdoptListener implements backend.Sockets.
func (s sockets) AdoptListener(network string, c syscall.Conn) (backend.Listening, error) {
	d, f, err := s.duplicate(c)
	if err == nil && f.listens == nil {
		s.CloseSocket(d, backend.Closing{})
		err = syscall.EINVAL
	}
	if err != nil {
		return backend.Listening{}, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return backend.Listening{Descriptor: d, Addr: f.listens.addr.NetAddr()}, nil
}
