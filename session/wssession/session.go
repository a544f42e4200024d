package wssession

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// Session is a WebSocket connection that its caller drives: a polled.Session of messages. It answers pings, and takes part in
// the closing handshake; Pings and Pongs show as Buffered. When the peer has sent a Close, Read returns io.EOF, and PeerClose
// tells it. When the peer has violated the protocol, Read returns the *frame.Error; the peer is told as long as somebody
// drives.
//
// A Session is Terminated once Read has returned an error. It is to be driven until Status says so, and closed. A server's
// Session ends the connection first.
type Session struct {
	// Now is the clock, for tests. Nil: time.Now. Set it before the first Drive.
	Now func() time.Time

	options *Options
	client  bool
	agreed  websocket.Agreement

	http      *httpsession.Client // until the handshake of a client has ended
	handshake *websocket.Client
	request   *http1.Request // to be written; nil: it was

	framed *polled.MessageSession[websocket.Frame, websocket.Frame] // nil: the handshake has not ended
	in     *websocket.Assembler
	out    fragmenting
	stuck  int // bytes in the write buffer when the last message had no room; 0: it had

	pong      []byte // the payload of a Pong that has no room yet
	isPong    bool   // whether there is one
	goodbye   []byte // the payload of a Close that has no room yet
	isGoodbye bool   // whether there is one
	closing   bool   // whether this end has begun to close: nothing but the Close is written
	deadline  time.Time
	peerClose *websocket.CloseError
	end       error // what Read returns from now on; nil: it goes on
	over      bool  // the connection was given up
	closed    bool  // by Close
}

// NewSession returns a client's Session on a connection, which may still be Establishing. rawURL has the scheme ws or wss; for
// wss, inner must encrypt. o may be nil; its Network, Address, Stream and Notify are not used.
func NewSession(inner polled.Bytes, rawURL string, o *DialOptions) (*Session, error) {
	p, err := newOpening(rawURL, o)
	if err != nil {
		return nil, err
	}
	return p.session(inner), nil
}

// ConnectSession is NewSession on a connection of polled.Connect, which is encrypted for wss, as of the function Connect.
func ConnectSession(t polled.Transport, rawURL string, o *DialOptions) (*Session, error) {
	p, err := newOpening(rawURL, o)
	if err != nil {
		return nil, err
	}
	network, address, below, err := p.where()
	if err != nil {
		return nil, err
	}
	inner, err := polled.Connect(t, network, address, below)
	if err != nil {
		return nil, err
	}
	if o != nil && o.Notify != nil {
		if err := inner.Notify(o.Notify); err != nil {
			return nil, err
		}
	}
	return p.session(inner), nil
}

// session begins the handshake of a Session.
func (p *opening) session(inner polled.Bytes) *Session {
	return &Session{
		client: true, options: p.options, handshake: p.handshake, request: p.request,
		http: httpsession.NewClient(inner, p.http()),
	}
}

// Accept answers r, the request that server has read last: with 101, and then the connection is the Session's, and server has
// ended; or with a refusal, and then err is a *websocket.HandshakeError, and server goes on. All earlier requests must have
// their responses. If the responses leave no room, err is session.ErrWriteBufferFull: drive server, and call Accept again. o
// may be nil.
func Accept(server *httpsession.Server, r *http1.Request, o *ServerOptions) (*Session, error) {
	if n := server.Outstanding(); n != 1 {
		return nil, fmt.Errorf("wssession: accept: %d requests have no response; it must be one", n)
	}
	answer, agreed, refused := o.server().Answer(r.Request)
	_, status, err := server.Write(answer)
	switch {
	case err != nil:
		return nil, err
	case status == polled.Pending:
		return nil, session.ErrWriteBufferFull
	case refused != nil:
		return nil, refused
	}
	inner, err := server.HandOver()
	if err != nil {
		return nil, err
	}
	s := &Session{options: o.common()}
	s.begin(inner, agreed)
	return s, nil
}

// begin ends the handshake.
func (s *Session) begin(inner polled.Bytes, agreed websocket.Agreement) {
	codec := s.options.codec(s.client, agreed)
	s.agreed, s.in = agreed, websocket.NewAssembler(codec)
	s.framed = polled.NewFramed(inner, codec, s.options.WriteBuffer)
}

// Notify implements polled.Notifier. Whoever waits for a call also drives the Session by the time at which CloseTimeout passes,
// once one end has said Close.
func (s *Session) Notify(fn func()) error {
	switch {
	case s.closed:
		return net.ErrClosed
	case s.framed == nil:
		return s.http.Notify(fn)
	}
	return s.framed.Notify(fn)
}

// Subprotocol returns the one that was agreed upon, or "". When the Session is Established.
func (s *Session) Subprotocol() string { return s.agreed.Subprotocol }

// Compressed reports whether permessage-deflate was agreed upon. When the Session is Established.
func (s *Session) Compressed() bool { return s.agreed.Compression }

// PeerClose returns the Close that the peer has sent, or nil.
func (s *Session) PeerClose() *websocket.CloseError { return s.peerClose }

// Status implements polled.Session.
func (s *Session) Status() polled.Status {
	switch {
	case s.closed, s.over, s.end != nil && s.framed == nil:
		return polled.Terminated
	case s.framed == nil:
		return polled.Establishing
	}
	return polled.Established
}

// Drive implements polled.Session. The regular end of the connection is not an error.
func (s *Session) Drive() (polled.Activity, error) {
	switch {
	case s.closed:
		return polled.Idle, net.ErrClosed
	case s.framed == nil && s.end != nil:
		return polled.Idle, s.end
	case s.framed == nil:
		return s.shakeHands()
	case s.over:
		return polled.Idle, nil
	}
	activity, err := s.framed.Drive()
	if s.in.Unfinished() {
		activity, err = polled.Active, nil // Read goes on with a message, and only then is told of the end
	}
	if err != nil {
		if s.end != nil {
			s.giveUp() // the peer has gone before us
			return activity, nil
		}
		s.end, s.over = err, true
		_ = s.framed.Close()
		return activity, err
	}
	if s.sendControls() || s.finish() {
		activity = polled.Active
	}
	return activity, nil
}

// shakeHands is Drive for a client before the end of the handshake.
func (s *Session) shakeHands() (polled.Activity, error) {
	activity, err := s.http.Drive()
	if err != nil {
		return activity, s.failed(err)
	}
	if s.request != nil {
		_, status, err := s.http.Write(s.request)
		if err != nil {
			return activity, s.failed(err)
		}
		if status == polled.Success {
			s.request, activity = nil, polled.Active
			_ = s.http.Flush() // a failure shows in Drive
		}
	}
	r, status, err := s.http.Read()
	if err != nil {
		return activity, s.failed(err)
	}
	if status != polled.Data {
		return activity, nil
	}
	agreed, err := s.handshake.Check(r)
	if err != nil {
		return activity, s.failed(err)
	}
	inner, err := s.http.HandOver()
	if err != nil {
		return activity, s.failed(err)
	}
	s.begin(inner, agreed)
	return polled.Active, nil
}

// failed ends a Session whose handshake has failed.
func (s *Session) failed(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	s.end = err
	_ = s.http.Close()
	return err
}

// Read implements polled.Session. Kind of a message is Text or Binary. Data is valid until the next Read or Close.
func (s *Session) Read() (m websocket.Message, status polled.ReadStatus, err error) {
	switch {
	case s.closed:
		return m, polled.None, net.ErrClosed
	case s.end != nil:
		return m, polled.None, s.end
	case s.framed == nil:
		return m, polled.None, nil
	}
	if s.in.Unfinished() {
		return s.added(inflating.goOn(s.in))
	}
	for n := range framesPerRead {
		f, status, err := s.framed.Read()
		switch {
		case err == io.EOF:
			return m, polled.None, s.ends(io.ErrUnexpectedEOF) // without a Close
		case err != nil:
			return m, polled.None, s.ends(err)
		case status != polled.Data && n > 0:
			return m, polled.Buffered, nil
		case status != polled.Data:
			return m, status, nil
		}
		if m, status, err = s.added(inflating.add(s.in, f)); status != polled.Buffered || s.in.Unfinished() {
			return m, status, err
		}
	}
	return m, polled.Buffered, nil
}

// framesPerRead is how many frames that make no message Read takes at most: fragments, Pings and Pongs.
const framesPerRead = 64

// added is Read when the Assembler has made something of the bytes so far.
func (s *Session) added(m websocket.Message, ok bool, err error) (websocket.Message, polled.ReadStatus, error) {
	switch {
	case err != nil:
		return websocket.Message{}, polled.None, s.ends(err)
	case !ok, m.Kind == websocket.Pong:
	case m.Kind == websocket.Ping:
		s.pong, s.isPong = append(s.pong[:0], m.Data...), true
		s.sendControls()
	case m.Kind == websocket.Close:
		return websocket.Message{}, polled.None, s.peerCloses(m.Data)
	default:
		return m, polled.Data, nil
	}
	return websocket.Message{}, polled.Buffered, nil
}

// now returns the time.
func (s *Session) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return backend.SystemClock{}.Now()
}

var (
	_ polled.Session[websocket.Message, websocket.Message] = (*Session)(nil)
	_ polled.Notifier                                      = (*Session)(nil)
)
