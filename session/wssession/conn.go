package wssession

import (
	"sync"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
)

// Conn is a WebSocket connection on a stream, whose Handler is called on the stream's loop. WriteText, WriteBinary, Write,
// Ping, CloseWith and Close may be called from any goroutine; they do not block.
type Conn struct {
	handler Handler
	options *Options
	client  bool
	frames  *session.FrameHandler[websocket.Frame]
	agreed  websocket.Agreement // set before OnOpen

	mu     sync.Mutex // guards what follows, up to the next comment
	stream *session.Stream
	codec  websocket.Codec
	state  state
	out    fragmenting
	pongs  pongs

	// What follows belongs to the loop.
	in    *websocket.Assembler
	ended bool  // the peer's Close has come, or this end has given up: nothing more is delivered
	eof   bool  // the peer has finished
	err   error // what OnClose gets; nil: what the stream ends with
}

// state is that of the sending side.
type state uint8

const (
	connecting state = iota // the handshake has not ended
	open
	closing // a Close was sent: nothing more may be
)

func newConn(h Handler, o *Options, client bool) *Conn {
	if h == nil {
		panic("wssession: the Handler is nil")
	}
	return &Conn{handler: h, options: o, client: client}
}

// prepare makes the handler of the stream, when both ends have agreed.
func (c *Conn) prepare(agreed websocket.Agreement) {
	c.agreed = agreed
	codec := c.options.codec(c.client, agreed)
	c.in = websocket.NewAssembler(codec)
	c.frames = session.Frames(codec, c.frame)
	c.frames.MessageTimeout = c.options.FrameTimeout
	c.frames.Continue = c.inflates
	c.frames.Invalid = c.invalid
	c.frames.EOF = func(s *session.Stream) {
		c.eof = true
		_ = s.Close() // also with AllowHalfClose
	}
	c.frames.Writable = c.writable
	c.frames.Close = c.closed
	c.frames.Drain = c.drain
	c.mu.Lock()
	c.codec = codec
	c.mu.Unlock()
}

// bind gives the Conn its stream.
func (c *Conn) bind(s *session.Stream) {
	c.mu.Lock()
	c.stream = s
	c.mu.Unlock()
}

// begin opens the connection. The stream has the handler that prepare made.
func (c *Conn) begin(s *session.Stream) {
	c.mu.Lock()
	c.stream, c.state = s, open
	c.mu.Unlock()
	c.guarded(func() { c.handler.OnOpen(c) })
}

// Stream returns the stream, for its addresses, options, timers, PauseRead and Abort. What is written to it directly breaks
// the protocol.
func (c *Conn) Stream() *session.Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream
}

// Subprotocol returns the one that was agreed upon, or "". From OnOpen on.
func (c *Conn) Subprotocol() string { return c.agreed.Subprotocol }

// Compressed reports whether permessage-deflate was agreed upon. From OnOpen on.
func (c *Conn) Compressed() bool { return c.agreed.Compression }

// frame takes the next frame of the peer.
func (c *Conn) frame(s *session.Stream, f websocket.Frame) {
	if c.ended {
		return
	}
	m, ok, err := inflating.add(c.in, f)
	c.added(s, m, ok, err)
}

// inflates goes on with a compressed message, in a turn of its own.
func (c *Conn) inflates(s *session.Stream) {
	if c.ended {
		return
	}
	m, ok, err := inflating.goOn(c.in)
	c.added(s, m, ok, err)
}

// added follows what the Assembler has made of the bytes so far.
func (c *Conn) added(s *session.Stream, m websocket.Message, ok bool, err error) {
	switch {
	case err != nil:
		c.fail(s, err)
	case c.in.Unfinished():
		c.frames.Later(s)
	case !ok:
	case m.Kind == websocket.Ping:
		c.pong(s, m.Data)
	case m.Kind == websocket.Pong:
		if h, ok := c.handler.(PongHandler); ok {
			c.guarded(func() { h.OnPong(c, m.Data) })
		}
	case m.Kind == websocket.Close:
		c.peerCloses(s, m.Data)
	default:
		c.message(m)
	}
}

// message calls the handler.
func (c *Conn) message(m websocket.Message) {
	c.guarded(func() { c.handler.OnMessage(c, m) })
	c.in.Done()
}

// guarded calls a function of the handler.
func (c *Conn) guarded(fn func()) {
	returned := false
	defer func() { c.after(returned) }()
	fn()
	returned = true
}

// after follows a call of the handler. If that has panicked, the stream is about to be reset, and the peer is told why. An
// http.Handler around this one may recover the panic in OnOpen: then the connection ends as after CloseWith.
func (c *Conn) after(returned bool) {
	if returned {
		return
	}
	if s := c.Stream(); s != nil {
		c.sendClose(websocket.StatusInternalError, "")
		_ = s.Flush()
		s.After(c.options.CloseTimeout, func() { c.late(s) })
	}
}

func (c *Conn) writable(s *session.Stream) {
	c.latePong(s)
	if h, ok := c.handler.(WritableHandler); ok {
		c.guarded(func() { h.OnWritable(c) })
	}
}

// invalid follows bytes that are no frame, before the stream closes in stages.
func (c *Conn) invalid(s *session.Stream, err *frame.Error) {
	if !c.ended {
		c.giveUp(s, err)
	}
}
