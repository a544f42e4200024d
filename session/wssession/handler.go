package wssession

import "github.com/tandem-io/tandem/frame/websocket"

// Handler is a program's code for WebSocket connections; one Handler may serve any number of them. All methods run on the
// loop of the connection's stream, one at a time for each connection, and must not block. They may call any method of any
// Conn.
//
// OnOpen comes first, OnMessage any number of times, and OnClose once, last. A panic ends the connection with 1011 and a
// reset, and OnClose gets a *session.PanicError.
type Handler interface {
	// OnOpen is called when the handshake has ended.
	OnOpen(c *Conn)

	// OnMessage is called for each message, or, with Options.Fragments, for each fragment. Kind is Text or Binary, and text
	// is UTF-8, though a fragment may end within a character. Data is valid until OnMessage returns.
	OnMessage(c *Conn, m websocket.Message)

	// OnClose is called at the end. err is never nil:
	//
	//	*websocket.CloseError    the peer has sent a Close, by itself or as the answer to one
	//	*frame.Error             the peer has violated the protocol, or a limit
	//	io.ErrUnexpectedEOF      the peer has finished without a Close
	//	os.ErrDeadlineExceeded   the peer has not answered a Close, or a timeout of the stream
	//	*HandshakeError of package websocket, or the error of the dial: a Conn of Connect that was never open
	//	others                   the end of the stream, as in session.Handler; net.ErrClosed after Abort
	//
	// websocket.CodeOf returns the status code.
	OnClose(c *Conn, err error)
}

// PongHandler is a Handler that is told of Pongs.
type PongHandler interface {
	// OnPong is called for each Pong, also one that nobody has asked for. p is valid until it returns.
	OnPong(c *Conn, p []byte)
}

// WritableHandler is a Handler that is told when it may go on writing.
type WritableHandler interface {
	// OnWritable is called when a queue that was above HighWater has fallen under LowWater.
	OnWritable(c *Conn)
}

// Drainer is a Handler that ends its connections itself when the Transport shuts down. Those of other handlers are closed
// with 1001.
type Drainer interface {
	// OnDrain is called when the Transport shuts down. The handler should close the connection when its work is done; when
	// the context of Shutdown ends, the stream is aborted.
	OnDrain(c *Conn)
}

// BaseHandler is a Handler that does nothing. Embed it, and write only the methods that matter.
type BaseHandler struct{}

// OnOpen implements Handler.
func (BaseHandler) OnOpen(*Conn) {}

// OnMessage implements Handler.
func (BaseHandler) OnMessage(*Conn, websocket.Message) {}

// OnClose implements Handler.
func (BaseHandler) OnClose(*Conn, error) {}
