package session

import (
	"runtime/debug"

	"github.com/tandem-io/tandem/backend"
)

// Every call of the user's code on a loop is made here, so that a panic in it ends its stream and nothing else, and so
// that it is known whose callback is running.

func (s *Stream) callOpen() {
	s.loop.enterUntimed(s, onOpen)
	defer s.recovered()
	s.handler.OnOpen(s)
}

// callData is timed, for the budget of the turn.
func (s *Stream) callData() {
	s.loop.enter(s, onData)
	s.rx.turnReads++
	s.loop.stamp()
	s.callDataRecovered()
	s.rx.spendTime(s.loop.lap(s))
}

func (s *Stream) callDataRecovered() {
	defer s.dataRecovered()
	s.handler.OnData(s)
}

// dataRecovered is recovered for OnData. It ends the loan of the driver's memory, which is gone soon if the callback has
// ended the goroutine.
func (s *Stream) dataRecovered() {
	s.rx.in.endLoan()
	s.loop.endLoans()
	if s.loop.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		s.panicked(&PanicError{Value: v, Stack: debug.Stack()})
	}
}

func (s *Stream) callEOF() {
	s.loop.enterUntimed(s, onEOF)
	defer s.recovered()
	s.handler.OnEOF(s)
}

// finalDecoder is the state that a FrameHandler keeps for a stream, a *streamDecoder[M].
type finalDecoder interface {
	decodeFinal(s *Stream) // delivers the message that the end of the stream ends, before OnEOF; called once
	goesOn()               // the stream reads again after it did not
}

func (s *Stream) callFinal() {
	s.loop.enterUntimed(s, onData)
	defer s.recovered()
	s.rx.decoder.decodeFinal(s)
}

func (s *Stream) callWritable() {
	s.loop.enterUntimed(s, onWritable)
	defer s.recovered()
	s.handler.OnWritable(s)
}

func (s *Stream) callClose(err error) {
	s.loop.enterUntimed(s, onClose)
	defer s.recovered()
	s.handler.OnClose(s, err)
}

func (s *Stream) callNotify(fn func(error), err error) {
	s.loop.enterUntimed(s, writeNotify)
	defer s.recovered()
	fn(err)
}

// callLayer calls the function that DetachWith was given, and reports whether it has returned. It is called once, also if
// it ends the goroutine: then the loop dies and hands the connection over without it.
func (s *Stream) callLayer() (unread, unsent []byte, whole bool) {
	off := s.life.handOff()
	layer := off.layer
	off.layer = nil
	if layer == nil {
		return nil, nil, false
	}
	s.loop.enterUntimed(s, detachWith)
	defer s.layerRecovered()
	unread, unsent = layer()
	return unread, unsent, true
}

// layerRecovered is recovered for callLayer. The stream cannot be reset any longer, so its Conn is.
func (s *Stream) layerRecovered() {
	s.loop.endLoans()
	if s.loop.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		e := &PanicError{Value: v, Stack: debug.Stack()}
		s.panicked(e)
		s.life.handOff().lose(e)
	}
}

// guarded calls a function of the user's that runs off the loops. A panic in it is its error.
func (e *Engine) guarded(fn func() error) (err error) {
	if !e.propagate {
		defer func() {
			if v := recover(); v != nil {
				err = &PanicError{Value: v, Stack: debug.Stack()}
			}
		}()
	}
	return fn()
}

// callEach calls fn, which Each was given, for the stream.
func (s *Stream) callEach(fn func(*Stream)) {
	s.loop.enterUntimed(s, each)
	defer s.recovered()
	fn(s)
}

// callEachInside is callEach inside another callback, whose loans go on.
func (s *Stream) callEachInside(fn func(*Stream)) {
	s.loop.enterUntimed(s, each)
	defer s.recoveredInside()
	fn(s)
}

// call calls a function of the user's; what says which method it was given to.
func (s *Stream) call(what callback, fn func()) {
	s.loop.enterUntimed(s, what)
	defer s.recovered()
	fn()
}

// recovered is deferred around every callback.
func (s *Stream) recovered() {
	s.loop.endLoans()
	if s.loop.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		s.panicked(&PanicError{Value: v, Stack: debug.Stack()})
	}
}

// recoveredInside is recovered inside another callback.
func (s *Stream) recoveredInside() {
	s.loop.ends()
	if s.loop.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		s.panicked(&PanicError{Value: v, Stack: debug.Stack()})
	}
}

// panicked ends a stream whose callback panicked, with a reset.
func (s *Stream) panicked(e *PanicError) { s.panickedWith(e, e) }

// panickedWith is panicked for a stream that ends with cause. At most ten panics a second are logged.
func (s *Stream) panickedWith(e *PanicError, cause error) {
	s.loop.Count[backend.Panics]++
	s.loop.engine.logPanic(s.loop, e)
	s.mu.Lock()
	s.abortLocked(cause, true)
	s.mu.Unlock()
}

// call calls a function of the user's that belongs to no stream.
func (l *loop) call(what callback, fn func()) {
	l.enterOwn(what)
	defer l.recovered()
	fn()
}

// callGiven calls a function that Post of the loop was given.
func (l *loop) callGiven(fn func()) { l.call(given, fn) }

// recovered is deferred around functions that belong to no stream. A panic in one ends nothing.
func (l *loop) recovered() {
	l.endLoans()
	if l.engine.propagate {
		return
	}
	if v := recover(); v != nil {
		l.Count[backend.Panics]++
		l.engine.logPanic(l, &PanicError{Value: v, Stack: debug.Stack()})
	}
}
