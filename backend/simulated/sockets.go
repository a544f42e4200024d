package simulated

import (
	"io"
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// sockets implements backend.Sockets.
type sockets struct {
	backend.NoFiles
	k *Kernel
}

var _ backend.Sockets = sockets{}

// locked holds mu for the time of a call: defer s.locked()().
func (s sockets) locked() (unlock func()) {
	s.k.mu.Lock()
	return s.k.mu.Unlock
}

// connection is the end that a descriptor refers to, or nil.
func (s sockets) connection(d backend.Descriptor) *end { return s.k.file(d).end }

// TrySend implements backend.Sockets.
func (s sockets) TrySend(d backend.Descriptor, p []byte) (int, error) {
	return s.TrySendVector(d, [][]byte{p})
}

// TrySendVector implements backend.Sockets.
func (s sockets) TrySendVector(d backend.Descriptor, bufs [][]byte) (int, error) {
	defer s.locked()()
	n, err := s.send(d, bufs)
	if err == syscall.EAGAIN {
		return 0, nil
	}
	return n, err
}

// send is one sendmsg(2). mu is held.
func (s sockets) send(d backend.Descriptor, bufs [][]byte) (total int, err error) {
	return sendTo(s.connection(d), d.FD(), bufs)
}

func sendTo(e *end, number int, bufs [][]byte) (total int, err error) {
	k := e.k
	if k.chance(k.cfg.Faults.Again) && e.err == nil && !e.dead && !e.fin {
		return 0, syscall.EAGAIN
	}
	for _, p := range bufs {
		n, err := e.send(p)
		total += n
		if err != nil {
			if total > 0 {
				break
			}
			return 0, err
		}
		if n < len(p) {
			break
		}
	}
	k.note("send", number, total)
	return total, nil
}

// TryReceive implements backend.Sockets.
func (s sockets) TryReceive(d backend.Descriptor, p []byte) (int, error) {
	defer s.locked()()
	n, err := s.connection(d).receive(p[:min(len(p), readinessBuffer)]) // in pieces, so that there are some
	s.k.note("receive", d.FD(), n)
	switch {
	case err == syscall.EAGAIN:
		return 0, nil
	case n == 0 && err == nil:
		return 0, io.EOF
	}
	return n, err
}

// ShutdownWrite implements backend.Sockets.
func (s sockets) ShutdownWrite(d backend.Descriptor) error {
	defer s.locked()()
	s.k.note("shutdown", d.FD(), 0)
	return s.connection(d).finish()
}

// CloseSocket implements backend.Sockets.
func (s sockets) CloseSocket(d backend.Descriptor, how backend.Closing) {
	defer s.locked()()
	if e := s.connection(d); e != nil {
		e.in = e.in[min(how.Discard, len(e.in)):]
	}
	s.k.closeFile(d, how.Reset)
}

// TakeError implements backend.Sockets.
func (s sockets) TakeError(d backend.Descriptor) error {
	defer s.locked()()
	if e := s.connection(d); e != nil {
		return e.takeError()
	}
	return nil
}

// HasInput implements backend.Sockets.
func (s sockets) HasInput(d backend.Descriptor) bool {
	defer s.locked()()
	return s.k.file(d).ready()&readyIn != 0
}

// Unsent implements backend.Sockets.
func (s sockets) Unsent(d backend.Descriptor) int {
	defer s.locked()()
	if e := s.connection(d); e != nil {
		return len(e.out)
	}
	return 0
}

// LocalAddress implements backend.Sockets.
func (s sockets) LocalAddress(d backend.Descriptor) backend.Address {
	defer s.locked()()
	switch f := s.k.file(d); {
	case f.end != nil:
		return f.end.local
	case f.listens != nil:
		return f.listens.addr
	default:
		return f.local
	}
}

// RemoteAddress implements backend.Sockets: not known any longer once the connection was reset.
func (s sockets) RemoteAddress(d backend.Descriptor) backend.Address {
	defer s.locked()()
	if e := s.connection(d); e != nil && !e.dead {
		return e.remote
	}
	return backend.Address{}
}

// PeerCredentials implements backend.Sockets: both ends are in this process.
func (s sockets) PeerCredentials(backend.Descriptor) (backend.PeerCredentials, error) {
	return backend.PeerCredentials{PID: os.Getpid(), UID: os.Geteuid(), GID: os.Getegid()}, nil
}

// SetOptions implements backend.Sockets. Options are kept, and do nothing; Forbid has one fail.
func (s sockets) SetOptions(d backend.Descriptor, options []backend.SocketOption, _ backend.SocketPlace) error {
	defer s.locked()()
	f := s.k.file(d)
	for _, o := range options {
		if err := s.k.forbidden[o.Name()]; err != nil {
			return &backend.SocketOptionError{Option: o, Err: os.NewSyscallError("setsockopt", err)}
		}
		f.options[o.Name()] = o
	}
	return nil
}

// Option implements backend.Sockets.
func (s sockets) Option(d backend.Descriptor, o backend.SocketOption) (backend.SocketOption, error) {
	defer s.locked()()
	if kept, ok := s.k.file(d).options[o.Name()]; ok {
		return kept, nil
	}
	return o, os.NewSyscallError("getsockopt", syscall.ENOPROTOOPT)
}

// Control implements backend.Sockets. No system call knows the number.
func (s sockets) Control(d backend.Descriptor, f func(fd uintptr)) { f(uintptr(d.FD())) }

// NewSocket implements backend.Sockets.
func (s sockets) NewSocket(remote backend.Address, o backend.DialSocket) (backend.Descriptor, error) {
	if o.Multipath || remote.Kind == backend.VsockAddress {
		return backend.Descriptor{}, errOtherKernels
	}
	s.k.mu.Lock()
	f, d, err := s.k.newFile()
	if err == nil {
		f.local = o.Local
	}
	s.k.mu.Unlock()
	if err != nil {
		return backend.Descriptor{}, os.NewSyscallError("socket", err)
	}
	keep := false
	defer func() {
		if !keep {
			s.CloseSocket(d, backend.Closing{})
		}
	}()
	if err := s.SetOptions(d, o.Options, backend.OnDial); err != nil {
		return backend.Descriptor{}, err
	}
	if o.Control != nil {
		if err := o.Control(remote.Family(), remote.NetAddr().String(), rawConn(d.FD())); err != nil {
			return backend.Descriptor{}, err
		}
	}
	keep = true
	return d, nil
}

// BeginConnect implements backend.Sockets. A connection within the host may be there at once.
func (s sockets) BeginConnect(d backend.Descriptor, remote backend.Address) (connected bool, err error) {
	defer s.locked()()
	k, f := s.k, s.k.file(d)
	if k.chance(k.cfg.Faults.Refuse) {
		return false, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	local := f.local
	if local.Kind == backend.NoAddress {
		local = k.freshAddress(remote)
	}
	if e := k.connectNow(local, remote); e != nil {
		f.end = e
		return true, nil
	}
	in := &dialing{}
	f.dialing = in
	f.refs++ // the connect itself
	k.connect(local, remote, func(e *end, err error) {
		in.done, in.err = true, err
		k.changed.Broadcast()
		if err == nil {
			f.end = e
		}
		k.unref(f, false)
	})
	return false, nil
}

// Adopt implements backend.Sockets, for what File and NewConn return.
func (s sockets) Adopt(c syscall.Conn) (backend.Descriptor, backend.Address, error) {
	d, f, err := s.duplicate(c)
	if err == nil && (f.end == nil || f.end.dead) {
		s.CloseSocket(d, backend.Closing{})
		err = syscall.ENOTCONN
	}
	if err != nil {
		return backend.Descriptor{}, backend.Address{}, err
	}
	return d, f.end.remote, nil
}

// duplicate returns another descriptor of the socket of c.
func (s sockets) duplicate(c syscall.Conn) (d backend.Descriptor, f *file, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return d, nil, err
	}
	controlErr := raw.Control(func(number uintptr) {
		defer s.locked()()
		i := int(number) - firstNumber
		if i < 0 || i >= len(s.k.files) || s.k.files[i] == nil {
			err = syscall.EBADF
			return
		}
		f = s.k.files[i]
		d, err = s.k.descriptor(f)
	})
	if controlErr != nil {
		return d, nil, controlErr
	}
	return d, f, err
}

// Conn implements backend.Sockets. Waiting for the socket takes memory of the kernel's.
func (s sockets) Conn(d backend.Descriptor, owner backend.ConnOwner) (backend.Conn, error) {
	defer s.locked()()
	if err := s.k.shortage(); err != nil {
		s.k.closeFile(d, false)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	c := newConn(s.k, d, s.k.file(d).end)
	c.owner = owner
	return c, nil
}

// HandOver implements backend.Sockets.
func (s sockets) HandOver(d backend.Descriptor) (net.Conn, error) {
	defer s.locked()()
	f := s.k.file(d)
	own, err := s.k.descriptor(f)
	if err != nil {
		return nil, err
	}
	return newConn(s.k, own, f.end), nil
}

// HungUp implements backend.Sockets.
func (s sockets) HungUp(c net.Conn) bool {
	defer s.locked()()
	own, ok := c.(*Conn)
	return ok && own.end.ready()&readyHup != 0
}

// DiscardInput implements backend.Sockets.
func (s sockets) DiscardInput(c net.Conn, limit int) {
	defer s.locked()()
	if own, ok := c.(*Conn); ok {
		own.end.in = own.end.in[min(limit, len(own.end.in)):]
	}
}

// rawConn is a syscall.RawConn of a descriptor's number.
type rawConn uintptr

func (c rawConn) Control(f func(fd uintptr)) error { f(uintptr(c)); return nil }
func (rawConn) Read(func(uintptr) bool) error      { return syscall.ENOTSUP }
func (rawConn) Write(func(uintptr) bool) error     { return syscall.ENOTSUP }
