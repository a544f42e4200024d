package session

import "fmt"

// Handler is the user's code for a stream. All methods run on the stream's loop, one at a time for each stream, and
// should not block: every other stream of the loop waits meanwhile. Any method of any stream may be called in them.
//
// The order is OnOpen; then OnData, OnWritable and at most one OnEOF; then OnClose, once, last.
type Handler interface {
	// OnOpen is called when the stream is connected, before anything else.
	OnOpen(s *Stream)

	// OnData is called when there are new bytes to read. What is left unread stays, and is seen again in front of
	// the next bytes; it is not a reason to be called again.
	OnData(s *Stream)

	// OnEOF is called when the peer has finished sending and all of it was delivered. When it returns, the stream
	// closes itself, unless AllowHalfClose is set.
	OnEOF(s *Stream)

	// OnWritable is called when the queue, having been above HighWater, has fallen under LowWater.
	OnWritable(s *Stream)

	// OnClose is called at the end. err is nil after Close, net.ErrClosed after Abort, os.ErrDeadlineExceeded after
	// a timeout, a *PanicError after a panic, or holds the errno that ended the connection. Bytes that were received
	// and not read may still be read here. A stream from Connect that could not be opened gets OnClose alone.
	OnClose(s *Stream, err error)
}

// Drainer is implemented by a Handler that wants to end its streams by itself when the Transport shuts down: it is
// told by OnDrain, and should close the stream when its work is done. Streams of other handlers are closed.
type Drainer interface {
	OnDrain(s *Stream)
}

// BaseHandler does nothing. Embed it and write only the methods that matter.
type BaseHandler struct{}

// OnOpen implements Handler.
func (BaseHandler) OnOpen(*Stream) {}

// OnData implements Handler. It reads nothing.
func (BaseHandler) OnData(*Stream) {}

// OnEOF implements Handler.
func (BaseHandler) OnEOF(*Stream) {}

// OnWritable implements Handler.
func (BaseHandler) OnWritable(*Stream) {}

// OnClose implements Handler.
func (BaseHandler) OnClose(*Stream, error) {}

// PanicError is what OnClose gets when a callback of the stream panicked.
type PanicError struct {
	Value any    // what panic was called with
	Stack []byte // of the goroutine, as runtime/debug.Stack writes it
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a callback: %v", e.Value) }

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
