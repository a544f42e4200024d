package wssession

import (
	"fmt"
	"io"
	"net"
	"os"

	"github.com/tandem-io/tandem/frame/websocket"
)

// CloseWith begins to close the connection: it sends a Close, behind what was written. Messages of the peer go on to arrive;
// when it has answered, or has not within CloseTimeout, Read returns io.EOF or os.ErrDeadlineExceeded. Errors are those of
// Conn.CloseWith.
func (s *Session) CloseWith(code websocket.StatusCode, reason string) error {
	p, err := websocket.AppendClose(nil, code, reason)
	switch {
	case err != nil:
		return err
	case s.closed, s.closing, s.end != nil:
		return net.ErrClosed
	case s.framed == nil:
		return s.Close()
	}
	s.say(p)
	return nil
}

// say sends a Close, and begins to wait for the peer's part.
func (s *Session) say(p []byte) {
	s.closing, s.isGoodbye, s.goodbye = true, true, p
	s.deadline = s.now().Add(s.options.CloseTimeout)
	s.sendControls()
	_ = s.framed.Flush() // a failure shows in Drive
}

// sayCode is say with a code, if no Close was sent.
func (s *Session) sayCode(code websocket.StatusCode, reason string) {
	if p, err := websocket.AppendClose(nil, code, reason); err == nil && !s.closing {
		s.say(p)
	}
}

// peerCloses follows the peer's Close, and returns what Read returns from now on.
func (s *Session) peerCloses(p []byte) error {
	s.peerClose, _ = websocket.ParseClose(p) // an Assembler lets nothing else through
	s.end = io.EOF
	s.sayCode(s.peerClose.Code, "")
	s.deadline = s.now().Add(s.options.CloseTimeout)
	s.finish()
	return s.end
}

// ends follows an error of the peer, and returns what Read returns from now on.
func (s *Session) ends(err error) error {
	s.end = err
	if code := websocket.CodeOf(err); code != websocket.StatusAbnormal {
		s.sayCode(code, reasonOf(err))
	}
	s.finish()
	return err
}

var errCloseTimeout = fmt.Errorf("wssession: the peer has not answered a Close: %w", os.ErrDeadlineExceeded)

// finish does what is left to do at the end, and reports whether it did something. A server ends the connection when its Close
// was sent; a client waits until the server has.
func (s *Session) finish() bool {
	switch {
	case s.over, s.end == nil && !s.closing:
		return false
	case s.end == nil && s.now().After(s.deadline):
		s.end = errCloseTimeout
	case s.end == nil:
		return false // the peer has still to answer
	case s.client && s.peerClose != nil && !s.serverEnded() && s.now().Before(s.deadline):
		return false
	case (s.isGoodbye || s.framed.Queued() > 0) && s.now().Before(s.deadline):
		return false
	}
	s.giveUp()
	return true
}

// serverEnded reads what still comes, and reports whether nothing will.
func (s *Session) serverEnded() bool {
	_, _, err := s.framed.Read()
	return err != nil
}

// giveUp ends the connection.
func (s *Session) giveUp() {
	s.over = true
	inflating.forget(s.in)
	_ = s.framed.CloseInStages() // the peer may still be sending; what could not be sent has had its time
}

// Close implements polled.Session. If no Close was sent it sends one, with 1000, as far as there is room, and it waits for
// nothing. Use CloseWith, and drive on, to close in order.
func (s *Session) Close() error {
	switch {
	case s.closed:
		return nil
	case s.framed == nil:
		s.closed = true
		if s.end != nil {
			return nil
		}
		return s.http.Close()
	}
	s.closed = true
	if s.over {
		return nil
	}
	if s.end == nil {
		s.sayCode(websocket.StatusNormalClosure, "")
	}
	inflating.forget(s.in)
	return s.framed.CloseInStages()
}

// CloseInStages is Close.
func (s *Session) CloseInStages() error { return s.Close() }
