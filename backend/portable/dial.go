package portable

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// dial is a net.Dialer that stops between socket(2) and connect(2), in its Control function, until BeginConnect.
//
//	NewSocket      run, on a goroutine
//	   │ ◄─ made ─── Control: here is the socket
//	   │ prepare: options, the user's Control
//	BeginConnect ── begin ──► connect
//	                            └─► over
type dial struct {
	f      *file
	cancel context.CancelFunc
	made   chan syscall.RawConn
	begin  chan error             // nil: connect
	over   chan struct{}          // closed when run has ended
	kept   []backend.SocketOption // of the socket before it connects, which package net changes; run's

	mu   sync.Mutex // guards what follows
	err  error      // why it failed; valid when over is closed
	told func()     // called when it is over; nil: nobody asks
	done bool
}

var errNotBegun = errors.New("the socket was closed before it connected")

// NewSocket implements backend.Sockets.
func (s *sockets) NewSocket(remote backend.Address, o backend.DialSocket) (backend.Descriptor, error) {
	if o.Multipath || remote.Kind == backend.VsockAddress {
		return backend.Descriptor{}, errOtherBackends
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &file{}
	d := &dial{
		f: f, cancel: cancel, made: make(chan syscall.RawConn), begin: make(chan error, 1), over: make(chan struct{}),
	}
	f.dial = d
	dialer := &net.Dialer{LocalAddr: o.Local.NetAddr()}
	if s.native {
		dialer.KeepAlive = -1 // prepare sets it
	}
	dialer.SetMultipathTCP(false)
	first := true
	dialer.Control = func(_, _ string, c syscall.RawConn) error {
		if !first { // package net tries again after it has connected to itself, or could not bind
			if o.Local.Kind == backend.NoAddress {
				return syscall.ECONNREFUSED
			}
			return syscall.EADDRNOTAVAIL
		}
		first = false
		d.made <- c
		err := <-d.begin
		if err == nil && s.native {
			_ = c.Control(func(fd uintptr) { d.kept = current(fd) })
		}
		return err
	}
	go d.run(ctx, dialer, remote)
	select {
	case c := <-d.made:
		if err := s.prepare(d, remote, &o, c); err != nil {
			return backend.Descriptor{}, err
		}
		return s.add(f), nil
	case <-d.over:
		return backend.Descriptor{}, d.err
	}
}

// prepare sets options and calls the user's Control. If that fails, panics, or ends the goroutine, the socket is closed.
func (s *sockets) prepare(d *dial, remote backend.Address, o *backend.DialSocket, c syscall.RawConn) error {
	keep := false
	defer func() {
		if !keep {
			d.end()
		}
	}()
	if err := s.prepareOptions(d, remote, o, c); err != nil {
		return err
	}
	if err := o.CallControl(remote, c.Control); err != nil {
		return err
	}
	keep = true
	return nil
}

func (s *sockets) prepareOptions(d *dial, remote backend.Address, o *backend.DialSocket, c syscall.RawConn) error {
	if !s.native {
		return d.f.remember(o.Options)
	}
	return within(c.Control, func(fd uintptr) error {
		if remote.Kind == backend.TCPAddress {
			if err := setNative(fd, netOptions, backend.OnDial); err != nil {
				return err
			}
		}
		return setNative(fd, o.Options, backend.OnDial)
	})
}

// run dials.
func (d *dial) run(ctx context.Context, dialer *net.Dialer, remote backend.Address) {
	defer d.cancel()
	c, err := dialer.DialContext(ctx, remote.Family(), remote.NetAddr().String())
	if err == nil {
		if err = d.f.setConn(c); err != nil {
			_ = c.Close()
		}
	}
	if err == nil {
		restore(d.f.control, d.kept)
		for _, o := range d.f.remembered() {
			_ = apply(d.f.conn, o)
		}
	}
	d.mu.Lock()
	d.err, d.done = step(err), true
	told := d.told
	d.mu.Unlock()
	close(d.over)
	if told != nil {
		told()
	}
}

// watch has fn called once when the dial is over, also if it is already.
func (d *dial) watch(fn func()) {
	d.mu.Lock()
	done := d.done
	if !done {
		d.told = fn
	}
	d.mu.Unlock()
	if done {
		fn()
	}
}

// result is why a dial that is over has failed: an errno, if there is one.
func (d *dial) result() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var call *os.SyscallError
	if errors.As(d.err, &call) && call.Syscall != "connect" {
		return d.err
	}
	return bare(d.err)
}

// end gives the dial up, and waits until its socket is closed or has become the file's connection.
func (d *dial) end() {
	select {
	case d.begin <- errNotBegun:
	default: // it has begun
	}
	d.cancel()
	<-d.over
}

// BeginConnect implements backend.Sockets.
func (s *sockets) BeginConnect(d backend.Descriptor, _ backend.Address) (connected bool, err error) {
	f := s.at(d)
	if f.dial == nil {
		return false, errNoSocket
	}
	f.dial.begin <- nil
	return false, nil
}
