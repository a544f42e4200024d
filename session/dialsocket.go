package session

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"github.com/tandem-io/tandem/backend"
)

// socket makes a socket that is ready to connect to addr.
func (d *dial) socket(addr backend.Address) (int, error) {
	fd, err := backend.NewSocket(addr)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := d.prepare(fd, addr); err != nil {
		backend.CloseFD(fd)
		return -1, err
	}
	return fd, nil
}

func (d *dial) prepare(fd int, addr backend.Address) error {
	if addr.Kind == backend.TCPAddress {
		if err := errors.Join(backend.SetNoDelay(fd, true), backend.SetKeepAlive(fd)); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	if d.opts.Control != nil {
		if err := d.opts.Control(d.network, addr.NetAddr().String(), fixedConn(fd)); err != nil {
			return err
		}
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

// selfConnected tells whether a TCP socket was connected to itself, which happens when the kernel gives it the very
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
	return backend.Address{}, &net.AddrError{Err: "LocalAddr is neither a *net.TCPAddr nor a *net.UnixAddr", Addr: a.String()}
}
