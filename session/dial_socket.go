package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// madeSocket is a socket that is ready to connect, or why it could not be made.
type madeSocket struct {
	fd  backend.Descriptor
	err error
}

// discard closes a socket that is not needed.
func (d *dial) discard(m madeSocket) {
	if m.err == nil {
		d.closeSocket(m.fd)
	}
}

func (d *dial) closeSocket(fd backend.Descriptor) {
	d.stream.loop.Sockets.CloseSocket(fd, backend.Closing{})
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
				d.discard(m)
			}
		case <-ctx.Done():
		}
	}
	returned = true
}

// makeSocket makes a socket that is ready to connect to addr. Off the loop, but for a Connect that is called there.
func (d *dial) makeSocket(ctx context.Context, addr backend.Address) madeSocket {
	o := backend.DialSocket{Options: d.sockopt.options, Multipath: d.multi}
	if d.opts.Control != nil || d.opts.ControlContext != nil {
		o.Control = func(network, address string, c syscall.RawConn) error { return d.callControl(ctx, network, address, c) }
	}
	if d.target.local != nil {
		o.Local = localAddress(d.target.local, addr)
	}
	fd, err := d.stream.loop.Sockets.NewSocket(addr, o)
	return madeSocket{fd: fd, err: err}
}

// callControl calls the user's function. A panic in it is the dial's error.
func (d *dial) callControl(ctx context.Context, network, address string, c syscall.RawConn) error {
	return d.stream.loop.engine.guarded(func() error {
		if with := d.opts.ControlContext; with != nil {
			return with(ctx, network, address, c)
		}
		return d.opts.Control(network, address, c)
	})
}

// selfConnected reports whether a TCP socket was connected to itself, which happens when the kernel gives it the very
// port that it dials, on this host.
func (d *dial) selfConnected(fd backend.Descriptor) bool {
	sockets := d.stream.loop.Sockets
	local, remote := sockets.LocalAddress(fd), sockets.RemoteAddress(fd)
	return local.Kind == backend.TCPAddress && local == remote
}

// maxLooks is how often an attempt looks at a connect that is still in progress.
const maxLooks = 100

// isUnfinished reports whether a vsock is still being connected. On Linux 6.18 it tells pollers that it has room when its
// request has been sent, and io_uring believes what a poller is told: sock_wfree in net/core/sock.c, io_poll_wake in
// io_uring/poll.c.
func (a *attempt) isUnfinished() bool {
	if a.addr.Kind != backend.VsockAddress || a.looks == maxLooks {
		return false
	}
	a.looks++
	return a.dial.stream.loop.Sockets.RemoteAddress(a.sock.Descriptor).Kind == backend.NoAddress
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
	case *backend.VsockAddr:
		return backend.BindToVsock(a)
	case *net.UnixAddr:
		return backend.Address{Unix: a.Name, Kind: backend.UnixAddress}
	}
	return backend.Address{} // setLocal has refused all others
}

func errMismatched(a net.Addr) error {
	return &net.AddrError{Err: "mismatched local address type", Addr: fmt.Sprint(a)}
}
