package wssession

import (
	"net"

	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/polled"
)

// Write implements polled.Session: it takes a message, or a fragment of one, as a whole or not at all. A message that cannot be
// sent is an error of that Write alone, as of Conn.Write. After a Close of either end it returns net.ErrClosed.
func (s *Session) Write(m websocket.Message) (rest websocket.Message, status polled.WriteStatus, err error) {
	switch {
	case s.closed, s.closing, s.end != nil:
		return m, polled.Pending, net.ErrClosed
	case s.framed == nil:
		return m, polled.Pending, nil
	}
	if s.stuck > 0 { // do not compress in vain
		if err := s.framed.Flush(); err != nil {
			return m, polled.Pending, err
		}
		if s.framed.Queued() >= s.stuck {
			return m, polled.Pending, nil
		}
	}
	f, after, err := s.out.frame(m)
	if err != nil {
		return m, polled.Pending, err
	}
	packed, smaller := s.options.pack(s.agreed.Compression, m)
	if packed != nil {
		defer giveBack(packed)
	}
	if smaller && f.Opcode != websocket.Continuation {
		f.Payload, f.RSV1 = *packed, true
	}
	_, status, err = s.framed.Write(f)
	if err != nil || status == polled.Pending {
		s.stuck = s.framed.Queued()
		return m, polled.Pending, err
	}
	s.out, s.stuck = after, 0
	return websocket.Message{}, polled.Success, nil
}

// Ping sends a Ping with p, at most 125 bytes. The Pong shows as Buffered. With Pending, call it again after Drive.
func (s *Session) Ping(p []byte) (polled.WriteStatus, error) {
	switch {
	case s.closed, s.closing, s.end != nil:
		return polled.Pending, net.ErrClosed
	case s.framed == nil:
		return polled.Pending, nil
	}
	_, status, err := s.framed.Write(websocket.Frame{Opcode: websocket.Ping, Fin: true, Payload: p})
	return status, err
}

// sendControls writes the Pong and the Close that wait, if there is room, and reports whether it wrote one.
func (s *Session) sendControls() (wrote bool) {
	if s.isPong && !s.closing && s.framed.Queued() < pongRoom && s.sendControl(websocket.Pong, s.pong) {
		s.isPong, wrote = false, true
	}
	if s.isGoodbye && s.sendControl(websocket.Close, s.goodbye) {
		s.isGoodbye, wrote = false, true
	}
	return wrote
}

func (s *Session) sendControl(kind websocket.Opcode, p []byte) bool {
	_, status, err := s.framed.Write(websocket.Frame{Opcode: kind, Fin: true, Payload: p})
	return err == nil && status == polled.Success
}

// Flush implements polled.Session.
func (s *Session) Flush() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case s.over, s.framed == nil:
		return s.end
	}
	s.sendControls()
	return s.framed.Flush()
}
