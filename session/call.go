package session

import (
	"runtime/debug"

	"github.com/tandem-io/tandem/backend"
)

// Every call of the user's code is made here, so that a panic in it ends its stream and nothing else.

func (s *Stream) callOpen() {
	defer s.recovered()
	s.handler.OnOpen(s)
}

func (s *Stream) callData() {
	defer s.recovered()
	s.handler.OnData(s)
}

func (s *Stream) callEOF() {
	defer s.recovered()
	s.handler.OnEOF(s)
}

// laster is what may have something to deliver before OnEOF. It is called once.
type laster interface{ last(s *Stream) }

func (s *Stream) callLast() {
	defer s.recovered()
	s.framer.last(s)
}

func (s *Stream) callWritable() {
	defer s.recovered()
	s.handler.OnWritable(s)
}

func (s *Stream) callClose(err error) {
	defer s.recovered()
	s.handler.OnClose(s, err)
}

func (s *Stream) callNotify(fn func(error), err error) {
	defer s.recovered()
	fn(err)
}

func (s *Stream) call(fn func()) {
	defer s.recovered()
	fn()
}

// recovered is deferred around every callback.
func (s *Stream) recovered() {
	if s.loop.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		s.panicked(&PanicError{Value: v, Stack: debug.Stack()})
	}
}

func (s *Stream) panicked(e *PanicError) {
	s.loop.Count[backend.Panics]++
	s.loop.engine.log.Error("tandem: panic in a callback; its stream is closed",
		"stream", s.id, "panic", e.Value, "stack", string(e.Stack))
	s.flow.Or(flowShut)
	s.failed(e)
}
