package session

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// StartTLS encrypts a stream from now on, as protocols do that begin in plain: as a server, or as a client, which needs a
// ServerName in its Config. What was written before is sent in plain, and everything written after it is encrypted when
// the handshake is done. The handler stays, OnOpen does not come again, and TLS reports true once the handshake is done;
// if it fails, OnClose gets the error. TLSHandshakeTimeout bounds it.
//
// Bytes that are unread stay, and are read in front of those that come encrypted; but if they begin as a client's TLS does,
// a server takes them as the beginning of the handshake. A protocol whose client must wait for an answer before its
// handshake should end a stream with unread bytes, because somebody in between may have put them there: look at Buffered
// first. Loop only; it does not block.
//
// TLS carries no files: none are received any longer, and while some are queued the error is syscall.EBUSY.
//
// The error is net.ErrClosed after the end, after Close and CloseWrite, io.EOF if the peer has finished, syscall.ENOTCONN
// before OnOpen, and otherwise says what is wrong with the Config, or that the stream has TLS already.
func (s *Stream) StartTLS(config *tls.Config, server bool) error {
	s.onLoopOnly("StartTLS")
	if config == nil {
		return errors.New("tandem: StartTLS: the Config is nil")
	}
	if err := checkTLS(config, server); err != nil {
		return fmt.Errorf("tandem: StartTLS: %w", err)
	}
	t := newTLS(s, config, server)
	t.late = true
	if err := s.addTLS(t); err != nil {
		return err
	}
	if p := s.rx.in.bytes(); server && len(p) > 0 && beginsTLS(p) {
		t.in.push(p)
		s.rx.in.consume(len(p))
		s.rx.in.unseen = 0
	}
	t.begin()
	return nil
}

// addTLS makes the stream one with TLS, if it can be.
func (s *Stream) addTLS(t *tlsLayer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.life.phase == dialing:
		return s.opErrorLocked("tls", syscall.ENOTCONN)
	case s.refusesLocked():
		return net.ErrClosed
	case s.tls != nil:
		return errors.New("tandem: StartTLS: the stream has TLS already")
	case s.rx.eof:
		return io.EOF
	case s.tx.files != nil:
		return s.opErrorLocked("tls", errFilesQueued)
	}
	s.refuseFiles()
	s.tls = t
	return nil
}

// beginsTLS reports whether p begins as the first record of a client does.
func beginsTLS(p []byte) bool {
	return p[0] == 22 && (len(p) < 2 || p[1] == 3)
}
