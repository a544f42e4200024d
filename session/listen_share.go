package session

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/tandem-io/tandem/backend"
)

// What is different for a listener whose socket others have, too: another process goes on where this one ends.

// File implements Listener.
func (l *listener) File() (*os.File, error) {
	l.mu.Lock()
	sockets := len(l.heads)
	l.mu.Unlock()
	if sockets > 1 {
		return nil, l.fileError(fmt.Errorf("the listener has %d sockets, one for each loop; Files returns all: %w", sockets, errors.ErrUnsupported))
	}
	files, err := l.Files()
	if err != nil {
		return nil, err
	}
	return files[0], nil
}

// Files implements Listener.
func (l *listener) Files() (files []*os.File, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() {
		if err != nil {
			closeAll(files)
			files, err = nil, l.fileError(err)
		}
	}()
	if l.err != nil {
		return nil, net.ErrClosed
	}
	for _, a := range l.heads {
		f, err := a.file()
		switch {
		case err == nil:
			files = append(files, f)
		case err != net.ErrClosed: // one of several that has failed is none any longer
			return files, err
		}
	}
	if len(files) == 0 {
		return nil, net.ErrClosed
	}
	l.shared.Store(true)
	for _, a := range l.heads {
		a.sock.Shared.Store(true)
	}
	l.unlinks = false
	return files, nil
}

func (l *listener) fileError(err error) error {
	return &net.OpError{Op: "file", Net: l.network, Addr: l.addr, Err: err}
}

// file duplicates the socket. Any goroutine.
func (a *listenSocket) file() (*os.File, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, net.ErrClosed
	}
	return a.loop.Sockets.File(a.sock.Descriptor)
}

// isGone reports whether the descriptor is closed.
func (a *listenSocket) isGone() bool {
	select {
	case <-a.gone:
		return true
	default:
		return false
	}
}

// SetUnlinkOnClose implements Listener.
func (l *listener) SetUnlinkOnClose(unlink bool) (before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before = l.unlinks
	l.unlinks = unlink && l.unlink != nil && l.err == nil
	return before
}

// leaveParked follows the end of the listener: where others have the socket, nobody resets what waits in the kernel, and
// what was taken out of there must not be worse off.
func (a *listenSocket) leaveParked() {
	if !a.listener.shared.Load() {
		a.dropParked()
		return
	}
	a.setFull(false)
	all := a.parked
	a.parked = nil
	a.countParked(-len(all))
	for _, c := range all {
		a.leave(c)
	}
}

// late follows an accept that was on its way when the listener ended.
func (a *listenSocket) late(c connection) {
	l := a.listener
	switch {
	case l.sources != nil && !a.admit(&c):
		return
	case !l.shared.Load():
		a.reset(c)
		return
	}
	if err := l.sockopt.connected(a.loop.Sockets, c.fd); err != nil {
		a.refuse(c, err)
		return
	}
	a.leave(c)
}

// leave hands a connection to its loop, whatever the limits are.
func (a *listenSocket) leave(c connection) {
	if a.listener.conns != nil {
		a.giveLate(c)
		return
	}
	a.listener.live.Add(1)
	a.open(c)
}

var _ backend.Events = (*listenSocket)(nil)
