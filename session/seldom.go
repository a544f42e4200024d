package session

import "github.com/tandem-io/tandem/backend"

// seldom is what most streams never need: a stream has none until it needs a part of it. It belongs to the loop.
type seldom struct {
	idle      *idle          // timeouts
	closer    *closer        // the stream closes, and has not sent everything
	stuck     *backend.Timer // ReadBufferLimit was reached
	message   *backend.Timer // MessageTimeout of a FrameHandler
	timers    *Timer         // list of active timers
	files     *inFiles       // nil: none are received
	forwarder *relayEnd      // of a Relay, if sock.Forwards is set
	source    *source        // that it counts for in its listener, or nil
	discarded uint64         // bytes that came when nobody wanted them any longer
	undrained bool           // Shutdown left it to its relay
	counted   int            // unread bytes that the Transport's MemoryLimit counts
}

// noneSeldom is what a stream has that needs nothing of it. Nobody writes to it.
var noneSeldom seldom

// seldom is for reading.
func (s *Stream) seldom() *seldom {
	if s.own == nil {
		return &noneSeldom
	}
	return s.own
}

// needs is seldom for writing.
func (s *Stream) needs() *seldom {
	if s.own == nil {
		s.own = &seldom{}
	}
	return s.own
}
