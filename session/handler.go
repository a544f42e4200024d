package session

import "fmt"

// Handler is a program's code for streams; one Handler may serve any number of them. All methods run on the stream's
// loop, one at a time for each stream, and must not block: every other stream of the loop waits meanwhile. They may call
// any method of any stream.
//
// OnOpen comes first. OnData and OnWritable follow any number of times, and OnEOF at most once. OnClose comes once, last.
type Handler interface {
	// OnOpen is called when the stream is connected, before anything else.
	OnOpen(s *Stream)

	// OnData is called when there are new bytes to read. Bytes that are left unread stay, in front of the next ones; by
	// themselves they do not cause another call.
	OnData(s *Stream)

	// OnEOF is called when the peer has finished sending and all its bytes were delivered. When OnEOF returns, the
	// stream closes itself, unless AllowHalfClose is set.
	OnEOF(s *Stream)

	// OnWritable is called when a queue that was above HighWater has fallen under LowWater.
	OnWritable(s *Stream)

	// OnClose is called at the end. err is nil after Close, net.ErrClosed after Abort, os.ErrDeadlineExceeded after a
	// timeout, a *PanicError after a panic, and otherwise a *net.OpError with the errno that ended the connection. Bytes
	// that were received and not read can still be read. A stream from Connect or Adopt that could not be opened gets
	// OnClose alone.
	OnClose(s *Stream, err error)
}

// Holder is a Handler that holds bytes which it has read from the stream and its user has not, as a polled session does.
type Holder interface {
	// Unread returns these bytes, and gives them up. Stream.Detach calls it once, on the loop, and they are read from the
	// Conn first.
	Unread(s *Stream) []byte
}

// Drainer is implemented by a Handler that ends its streams itself when the Transport shuts down. Streams of other
// handlers are closed.
type Drainer interface {
	// OnDrain is called when the Transport shuts down. The handler should close the stream when its work is done; when
	// the context of Shutdown ends, the stream is aborted.
	OnDrain(s *Stream)
}

// BaseHandler is a Handler that does nothing. Embed it, and write only the methods that matter.
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
	Stack []byte // the goroutine's stack, as from runtime/debug.Stack
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic in a callback: %v", e.Value) }

// Unwrap returns the value, if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
