package session

import (
	"errors"
	"net"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// SyscallConn gives access to the descriptor, for socket options. Control runs its function without a lock of the
// stream's, while the descriptor is sure to stay open; it returns net.ErrClosed after the end. Read and Write return
// errors.ErrUnsupported: the loop does that.
func (s *Stream) SyscallConn() (syscall.RawConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fd.Valid() || s.life.handOff() != nil {
		return nil, net.ErrClosed
	}
	return rawConn{s}, nil
}

type rawConn struct{ s *Stream }

func (c rawConn) Control(f func(fd uintptr)) error {
	fd, err := c.s.pin()
	if err != nil {
		return err
	}
	defer c.s.unpin()
	c.s.loop.Sockets.Control(fd, f)
	return nil
}

func (rawConn) Read(func(uintptr) bool) error  { return errors.ErrUnsupported }
func (rawConn) Write(func(uintptr) bool) error { return errors.ErrUnsupported }

// pin keeps the descriptor open until unpin, also beyond the stream's end.
func (s *Stream) pin() (backend.Descriptor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fd.Valid() || s.life.handOff() != nil {
		return backend.Descriptor{}, net.ErrClosed
	}
	s.life.needs().pins++
	return s.fd, nil
}

// unpin ends a pin. If the stream has ended meanwhile, the last of them closes the descriptor.
func (s *Stream) unpin() {
	s.mu.Lock()
	apart := s.life.apart
	apart.pins--
	closes := apart.pins == 0 && apart.orphan.Valid()
	fd, how := apart.orphan, apart.burial
	if closes {
		apart.orphan = backend.Descriptor{}
	}
	if *apart == (parting{}) {
		s.life.apart = nil
	}
	s.mu.Unlock()
	if closes {
		s.loop.Sockets.CloseSocket(fd, how)
	}
}
