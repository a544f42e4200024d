package session

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// madeSocket is a socket that is ready to connect, or why it could not be made.
type madeSocket struct {
	fd  int
	err error
}

func (m madeSocket) close() {
	if m.err == nil {
		backend.CloseFD(m.fd)
	}
}

// makeKnown makes the sockets for addresses that need no look-up, on the calling goroutine.
func (d *dial) makeKnown(ctx context.Context) {
	if d.opts.Timeout < 0 {
		return
	}
	for _, addr := range d.target.known {
		d.made = append(d.made, d.makeSocket(ctx, addr))
	}
}

// serve looks the name up and makes the sockets that the race asks for, until ctx ends, which it does with the race.
func (d *dial) serve(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			d.stream.failDial(d.opError(backend.Address{}, errGoexitInDial))
		}
	}()
	loop := d.stream.loop
	addrs, err := d.target.resolve(ctx, d.opts.Resolver)
	_ = loop.Post(backend.TaskFunc(func() { d.resolved(addrs, err) }))
	for ctx.Err() == nil {
		select {
		case addr := <-d.wanted:
			m := d.makeSocket(ctx, addr)
			if loop.Post(backend.TaskFunc(func() { d.socketMade(m) })) != nil {
				m.close()
			}
		case <-ctx.Done():
		}
	}
	returned = true
}

// makeSocket makes a socket that is ready to connect to addr. Off the loop, but for a Connect that is called there.
func (d *dial) makeSocket(ctx context.Context, addr backend.Address) madeSocket {
	fd, err := backend.NewSocket(addr)
	if err != nil {
		return madeSocket{err: os.NewSyscallError("socket", err)}
	}
	done := false
	defer func() {
		if !done {
			backend.CloseFD(fd)
		}
	}()
	if err := d.prepare(ctx, fd, addr); err != nil {
		return madeSocket{err: err}
	}
	done = true
	return madeSocket{fd: fd}
}

func (d *dial) prepare(ctx context.Context, fd int, addr backend.Address) error {
	if addr.Kind == backend.TCPAddress {
		if err := errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd)); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	network := familyOf(addr)
	if err := d.sockopt.control(network, addr.NetAddr().String(), fixedConn(fd)); err != nil {
		return err
	}
	if err := d.callControl(ctx, network, addr, fd); err != nil {
		return err
	}
	if d.opts.LocalAddr == nil {
		return nil
	}
	local, err := localAddress(d.opts.LocalAddr, addr)
	if err != nil {
		return err
	}
	return os.NewSyscallError("bind", backend.Bind(fd, local))
}

// callControl calls the user's function. A panic in it is the dial's error.
func (d *dial) callControl(ctx context.Context, network string, addr backend.Address, fd int) (err error) {
	control := d.opts.Control
	if with := d.opts.ControlContext; with != nil {
		control = func(network, address string, c syscall.RawConn) error { return with(ctx, network, address, c) }
	}
	if control == nil {
		return nil
	}
	if !d.stream.loop.engine.propagate {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
	}
	return control(network, addr.NetAddr().String(), fixedConn(fd))
}

// familyOf is the network of an address as Control functions are told it.
func familyOf(a backend.Address) string {
	switch {
	case a.Kind == backend.UnixAddress:
		return "unix"
	case a.IP.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// selfConnected reports whether a TCP socket was connected to itself, which happens when the kernel gives it the very
// port that it dials, on this host.
func selfConnected(fd int) bool {
	local, remote := backend.LocalAddress(fd), backend.RemoteAddress(fd)
	return local.Kind == backend.TCPAddress && local == remote
}

// fixedConn is a descriptor as Control functions want it.
type fixedConn int

func (c fixedConn) Control(f func(uintptr)) error { f(uintptr(c)); return nil }
func (fixedConn) Read(func(uintptr) bool) error   { return errors.ErrUnsupported }
func (fixedConn) Write(func(uintptr) bool) error  { return errors.ErrUnsupported }

// localAddress is a as the address to dial remote from: without an IP, any of the remote's family.
func localAddress(a net.Addr, remote backend.Address) (backend.Address, error) {
	switch a := a.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap() // net.IPv4 makes the IPv6 form of an address
		if !ip.IsValid() {
			ip = netip.IPv4Unspecified()
			if remote.IP.Addr().Is6() {
				ip = netip.IPv6Unspecified()
			}
		}
		return backend.Address{IP: netip.AddrPortFrom(ip, a.AddrPort().Port()), Kind: backend.TCPAddress}, nil
	case *net.UnixAddr:
		return backend.Address{Unix: a.Name, Kind: backend.UnixAddress}, nil
	}
	return backend.Address{}, errMismatched(a)
}

func errMismatched(a net.Addr) error {
	return &net.AddrError{Err: "mismatched local address type", Addr: a.String()}
}
