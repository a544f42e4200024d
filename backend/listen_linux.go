package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen implements Sockets. The standard library resolves, binds and listens; its socket is duplicated, because its own
// is in Go's poller.
func (Linux) Listen(network, address string, o ListenSocket) (Listening, error) {
	if network == "vsock" {
		return listenVsock(address, o)
	}
	if o.Multipath { // package net would do without
		fd, err := newSocket(Address{IP: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), Kind: TCPAddress}, true)
		if err != nil {
			return Listening{}, &net.OpError{Op: "listen", Net: network, Err: err}
		}
		CloseFD(fd)
	}
	config := net.ListenConfig{KeepAlive: -1, Control: o.control}
	config.SetMultipathTCP(o.Multipath)
	b := binding{o: &o, listen: func() (net.Listener, error) {
		return config.Listen(context.Background(), network, address)
	}}
	var ln net.Listener
	var err error
	if network == "unix" && isPath(address) {
		ln, err = b.bindPath(address)
	} else {
		// The kernel frees the address of a process that used io_uring late: up to 33 ms after its end were seen on
		// Linux 6.18.
		ln, err = o.Persist(b.listen)
	}
	if err != nil {
		return Listening{}, err
	}
	at := Listening{Addr: ln.Addr()}
	if b.file != nil {
		at.Unlink = b.file.remove
	}
	fd, err := duplicate(ln.(syscall.Conn))
	_ = ln.Close()
	if err == nil && at.Addr == nil { // package net could not find it out, and has not said so
		if _, err = listenAddress(fd); err != nil {
			CloseFD(fd)
		}
	}
	if err == nil && o.Multipath && !isMultipath(fd) {
		CloseFD(fd)
		err = errNoMultipath
	}
	if err != nil {
		if at.Unlink != nil {
			at.Unlink(o.Patience)
		}
		return Listening{}, &net.OpError{Op: "listen", Net: network, Addr: at.Addr, Err: err}
	}
	at.Descriptor = NewDescriptor(fd)
	return at, nil
}

// control is called before bind(2): first the defaults, then the options, then the user has the last word. Accepted
// connections inherit the defaults, tcp(7).
func (o *ListenSocket) control(network, address string, c syscall.RawConn) error {
	var err error
	if cerr := c.Control(func(fd uintptr) { err = o.prepare(int(fd), network) }); cerr != nil {
		return cerr
	}
	if err != nil || o.Control == nil {
		return err
	}
	return o.Control(network, address, c)
}

func (o *ListenSocket) prepare(fd int, network string) error {
	var err error
	if isTCP(network) {
		err = setDefaults(fd)
	}
	if o.UnixMode != 0 {
		err = limitMode(fd, o.UnixMode)
	}
	if o.ReusePort {
		err = errors.Join(err, setReusePort(fd))
	}
	if err != nil {
		return err
	}
	return setSocketOptions(fd, o.Options, OnListener)
}

// isTCP reports whether a network is TCP, or MPTCP.
func isTCP(network string) bool { return network != "unix" && network != "vsock" }

// binding is one call of Listen.
type binding struct {
	o      *ListenSocket
	listen func() (net.Listener, error)
	file   *socketFile // that it has created
}

// SetBacklog implements Sockets: listen(2) of a socket that listens already.
func (Linux) SetBacklog(d Descriptor, backlog int) error {
	return os.NewSyscallError("listen", unix.Listen(d.FD(), backlog))
}

// MaxBacklog implements Sockets.
func (Linux) MaxBacklog() int { return maxBacklog() }

// AdoptListener implements Sockets.
func (Linux) AdoptListener(network string, c syscall.Conn) (Listening, error) {
	fd, err := duplicate(c)
	if err != nil {
		return Listening{}, err
	}
	at, err := listenAddress(fd)
	l := Listening{Addr: at.NetAddr()}
	switch {
	case err != nil:
	case !isListening(fd):
		err = fmt.Errorf("it is not a stream socket that listens: %w", unix.EINVAL)
	case isTCP(network) != (at.Kind == TCPAddress), !isTCP(network) && at.Network() != network, strings.HasPrefix(network, "mptcp") && !isMultipath(fd):
		err = fmt.Errorf("it does not listen on %s: %w", network, unix.EAFNOSUPPORT)
	case isTCP(network):
		err = setDefaults(fd)
	}
	if err != nil {
		CloseFD(fd)
		return l, err
	}
	l.Descriptor = NewDescriptor(fd)
	return l, nil
}
