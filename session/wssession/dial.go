package wssession

import (
	"context"
	"os"
	"sync/atomic"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// Transport is the part of a tandem.Transport that Connect and Dial use.
type Transport interface {
	Connect(network, address string, h session.Handler, o *session.DialOptions) (*session.Stream, error)
	Dial(ctx context.Context, network, address string, h session.Handler, o *session.DialOptions) (*session.Stream, error)
}

// Connect begins to connect to a server, and returns at once. OnOpen is called when the handshake is done; if it fails, only
// OnClose is. rawURL has the scheme ws, or wss: then the stream is encrypted, by TLS of DialOptions.Stream or, without that,
// with the host of the URL as its ServerName. It panics if h is nil. o may be nil.
func Connect(t Transport, rawURL string, h Handler, o *DialOptions) (*Conn, error) {
	d, err := newDialing(rawURL, h, o)
	if err != nil {
		return nil, err
	}
	network, address, below, err := d.where()
	if err != nil {
		return nil, err
	}
	s, err := t.Connect(network, address, d, below)
	if err != nil {
		return nil, err
	}
	d.conn.bind(s)
	return d.conn, nil
}

// Dial is Connect, and waits until the handshake has ended and OnOpen has returned. If the handshake fails, or ctx ends
// before it does, Dial returns the error, and h is not called. In a callback of the stream's loop, and on a CallerDriven
// Transport, Dial is an error, as that of the Transport is.
func Dial(ctx context.Context, t Transport, rawURL string, h Handler, o *DialOptions) (*Conn, error) {
	d, err := newDialing(rawURL, h, o)
	if err != nil {
		return nil, err
	}
	network, address, below, err := d.where()
	if err != nil {
		return nil, err
	}
	d.result = make(chan error, 1)
	s, err := t.Dial(ctx, network, address, d, below)
	if err != nil {
		return nil, err
	}
	if err := d.wait(ctx, s); err != nil {
		return nil, err
	}
	return d.conn, nil
}

// wait waits for the result of the handshake. A connection that was open before ctx ended is returned.
func (d *dialing) wait(ctx context.Context, s *session.Stream) error {
	select {
	case err := <-d.result:
		return err
	case <-ctx.Done():
	}
	if d.decided.CompareAndSwap(false, true) {
		_ = s.AbortWith(ctx.Err())
		return ctx.Err()
	}
	return <-d.result // when OnOpen has returned
}

// dialing is the Handler of a stream to a server, until the handshake has ended.
type dialing struct {
	session.Handler // of httpsession.Ask

	*opening
	conn    *Conn
	timer   *session.Timer
	decided atomic.Bool // the handshake has ended, or Dial has given it up before
	result  chan error  // of Dial; nil: Connect
}

func newDialing(rawURL string, h Handler, o *DialOptions) (*dialing, error) {
	opening, err := newOpening(rawURL, o)
	if err != nil {
		return nil, err
	}
	d := &dialing{opening: opening, conn: newConn(h, opening.options, true)}
	d.Handler, err = httpsession.Ask(opening.request, opening.http(), d.answered)
	return d, err
}

// OnOpen implements session.Handler.
func (d *dialing) OnOpen(s *session.Stream) {
	d.conn.bind(s)
	if d.HandshakeTimeout > 0 {
		d.timer = s.After(d.HandshakeTimeout, func() { _ = s.AbortWith(os.ErrDeadlineExceeded) })
	}
	d.Handler.OnOpen(s)
}

// answered follows the server's response, or its absence.
func (d *dialing) answered(s *session.Stream, r *http1.Response, err error) {
	if d.timer != nil {
		d.timer.Stop()
	}
	if !d.decided.CompareAndSwap(false, true) {
		return // the stream is being aborted
	}
	var agreed websocket.Agreement
	if err == nil {
		agreed, err = d.handshake.Check(r)
	}
	if err != nil {
		_ = s.Close()
		d.failed(err)
		return
	}
	d.conn.prepare(agreed)
	s.SetHandler(d.conn.frames)
	if d.result != nil {
		defer func() { d.result <- nil }() // also if OnOpen panics: OnClose is told of that
	}
	d.conn.begin(s)
}

// failed tells whoever waits.
func (d *dialing) failed(err error) {
	if d.result != nil {
		d.result <- err
		return
	}
	d.conn.handler.OnClose(d.conn, err)
}
