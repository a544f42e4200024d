package portable

import (
	"time"

	"github.com/tandem-io/tandem/backend"
)

// sockets implements backend.Sockets.
type sockets struct {
	table
	backend.NoFiles
	plain  bool // package net alone
	native bool // and what the other drivers for this system do
}

var _ backend.Sockets = (*sockets)(nil)

// TrySend implements backend.Sockets.
func (s *sockets) TrySend(d backend.Descriptor, p []byte) (int, error) {
	f := s.at(d)
	if s.plain || f.conn == nil {
		return 0, nil
	}
	return unlessAgain(f.trySendOne(p))
}

// TrySendVector implements backend.Sockets.
func (s *sockets) TrySendVector(d backend.Descriptor, bufs [][]byte) (int, error) {
	f := s.at(d)
	if s.plain || f.conn == nil {
		return 0, nil
	}
	return unlessAgain(f.trySend(bufs))
}

func unlessAgain(n int, err error) (int, error) {
	if err == errAgain {
		return 0, nil
	}
	return n, err
}

// TryReceive implements backend.Sockets.
func (s *sockets) TryReceive(d backend.Descriptor, p []byte) (n int, err error) {
	f := s.at(d)
	if f.conn == nil {
		return 0, errNoSocket
	}
	if s.plain {
		return f.receiveSoon(p)
	}
	if outer := f.control(func(fd uintptr) { n, err = receiveOnce(fd, p) }); outer != nil {
		return 0, outer
	}
	return unlessAgain(n, err)
}

// soon is how long a receive of package net may take that is not to wait.
const soon = time.Millisecond

// receiveSoon is a receive that hardly waits. The deadlines are not in use.
func (f *file) receiveSoon(p []byte) (int, error) {
	_ = f.conn.SetReadDeadline(time.Now().Add(soon))
	n, err := f.conn.Read(p)
	_ = f.conn.SetReadDeadline(time.Time{})
	if interrupted(err) {
		err = nil
	}
	return n, bare(err)
}

// discard drops what was received, up to limit bytes.
func (s *sockets) discard(f *file, limit int) {
	scratch := make([]byte, min(limit, pieceSize))
	for limit > 0 {
		var n int
		var err error
		if s.plain {
			n, err = f.receiveSoon(scratch)
		} else if f.control(func(fd uintptr) { n, err = receiveOnce(fd, scratch) }) != nil {
			return
		}
		if n <= 0 || err != nil {
			return
		}
		limit -= n
	}
}

// ShutdownWrite implements backend.Sockets.
func (s *sockets) ShutdownWrite(d backend.Descriptor) error {
	if f := s.at(d); f.conn != nil {
		return bare(f.conn.CloseWrite())
	}
	return errNoSocket
}

// CloseSocket implements backend.Sockets.
func (s *sockets) CloseSocket(d backend.Descriptor, how backend.Closing) {
	f := s.remove(d)
	if f.dial != nil {
		f.dial.end()
	}
	switch {
	case f.ln != nil:
		_ = f.ln.Close()
	case f.conn == nil || f.giveBack():
	case how.Discard > 0 && s.plain:
		go func() { // it may take a moment
			s.discard(f, how.Discard)
			_ = f.conn.Close()
		}()
	default:
		if how.Reset {
			_ = setLinger(f.conn, 0)
		}
		if how.Discard > 0 && f.asks(hasInput) {
			s.discard(f, how.Discard)
		}
		_ = f.conn.Close()
	}
}

// TakeError implements backend.Sockets.
func (s *sockets) TakeError(d backend.Descriptor) (err error) {
	if s.plain {
		return nil // what was received has told it
	}
	_ = s.at(d).control(func(fd uintptr) {
		if hasFailed(fd) {
			err = takeError(fd)
		}
	})
	return err
}

// HasInput implements backend.Sockets. Package net alone cannot tell.
func (s *sockets) HasInput(d backend.Descriptor) bool { return !s.plain && s.at(d).asks(hasInput) }

// Unsent implements backend.Sockets.
func (s *sockets) Unsent(d backend.Descriptor) (n int) {
	_ = s.at(d).control(func(fd uintptr) { n = unsent(fd) })
	return n
}

// LocalAddress implements backend.Sockets.
func (s *sockets) LocalAddress(d backend.Descriptor) backend.Address {
	switch f := s.at(d); {
	case f.conn != nil:
		return addressOf(f.conn.LocalAddr())
	case f.ln != nil:
		return addressOf(f.ln.Addr())
	}
	return backend.Address{}
}

// RemoteAddress implements backend.Sockets.
func (s *sockets) RemoteAddress(d backend.Descriptor) backend.Address {
	if f := s.at(d); f.conn != nil {
		return addressOf(f.conn.RemoteAddr())
	}
	return backend.Address{}
}

// Control implements backend.Sockets.
func (s *sockets) Control(d backend.Descriptor, fn func(fd uintptr)) { _ = s.at(d).control(fn) }
