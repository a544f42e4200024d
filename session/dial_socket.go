package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
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

var errGoexitInControl = errors.New("Control has called runtime.Goexit")

// serve looks the name up and makes the sockets that the race asks for, until ctx ends, which it does with the race.
func (d *dial) serve(ctx context.Context) {
	returned := false
	defer func() {
		if !returned {
			_ = d.giveUp(errGoexitInControl)
		}
	}()
	loop := d.stream.loop
	addrs, err := d.lookUp(ctx)
	if err == nil {
		d.first.Store(&addrs[0])
	}
	if ctx.Err() == nil { // else whoever has ended it says why the dial has ended
		_ = loop.Post(backend.TaskFunc(func() { d.resolved(addrs, err) }))
	}
	for ctx.Err() == nil {
		select {
		case addr := <-d.wanted:
			m := d.makeSocket(ctx, addr)
			if ctx.Err() != nil || loop.Post(backend.TaskFunc(func() { d.socketMade(m) })) != nil {
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

// prepare makes a socket ready to connect to addr: options, the user's Control, the local address.
func (d *dial) prepare(ctx context.Context, fd int, addr backend.Address) error {
	if addr.Kind == backend.TCPAddress {
		if err := errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd)); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	conn := &hookConn{fd: fd}
	defer conn.end()
	network, address := familyOf(addr), addr.NetAddr().String()
	if err := d.sockopt.control(network, address, conn); err != nil {
		return err
	}
	if err := d.callControl(ctx, network, address, conn); err != nil {
		return err
	}
	if d.target.local == nil {
		return nil
	}
	return os.NewSyscallError("bind", backend.Bind(fd, localAddress(d.target.local, addr)))
}

// callControl calls the user's function. A panic in it is the dial's error.
func (d *dial) callControl(ctx context.Context, network, address string, c syscall.RawConn) (err error) {
	if d.opts.Control == nil && d.opts.ControlContext == nil {
		return nil
	}
	if !d.stream.loop.engine.propagate {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
	}
	if with := d.opts.ControlContext; with != nil {
		return with(ctx, network, address, c)
	}
	return d.opts.Control(network, address, c)
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

// hookConn is a socket that is going to connect, as Control functions get it. It is good until end, because the
// descriptor is closed at a time that the functions do not know, and may be somebody else's then.
type hookConn struct {
	mu sync.RWMutex // held while fd is used
	fd int          // -1 after the end
}

// Control implements syscall.RawConn.
func (c *hookConn) Control(f func(uintptr)) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	f(uintptr(c.fd))
	return nil
}

// Read implements syscall.RawConn.
func (*hookConn) Read(func(uintptr) bool) error { return errors.ErrUnsupported }

// Write implements syscall.RawConn.
func (*hookConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

func (c *hookConn) end() {
	c.mu.Lock()
	c.fd = -1
	c.mu.Unlock()
}

// localAddress is a as the address to dial remote from: if it names no IP address, any of the remote's family.
func localAddress(a net.Addr, remote backend.Address) backend.Address {
	switch a := a.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap() // net.IPv4 makes the IPv6 form of an address
		if !ip.IsValid() || ip.IsUnspecified() {
			ip = netip.IPv4Unspecified()
			if remote.IP.Addr().Is6() {
				ip = netip.IPv6Unspecified()
			}
		}
		return backend.Address{IP: netip.AddrPortFrom(ip, a.AddrPort().Port()), Kind: backend.TCPAddress}
	case *net.UnixAddr:
		return backend.Address{Unix: a.Name, Kind: backend.UnixAddress}
	}
	return backend.Address{} // setLocal has refused all others
}

func errMismatched(a net.Addr) error {
	return &net.AddrError{Err: "mismatched local address type", Addr: fmt.Sprint(a)}
}
