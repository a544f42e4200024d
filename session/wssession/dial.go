package wssession

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

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
	s, err := t.Connect(d.network, d.address, d, d.stream)
	if err != nil {
		return nil, err
	}
	d.conn.bind(s)
	return d.conn, nil
}

// Dial is Connect, and waits for the end of the handshake. If that fails, or ctx ends before, Dial returns the error, and h is
// not called. In a callback of the stream's loop, and on a CallerDriven Transport, it is an error, as Dial of the Transport is.
func Dial(ctx context.Context, t Transport, rawURL string, h Handler, o *DialOptions) (*Conn, error) {
	d, err := newDialing(rawURL, h, o)
	if err != nil {
		return nil, err
	}
	d.result = make(chan error, 1)
	s, err := t.Dial(ctx, d.network, d.address, d, d.stream)
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
	if len(d.result) == 0 {
		_ = s.AbortWith(ctx.Err())
	}
	if err := <-d.result; err != nil { // soon, because the stream has ended
		return ctx.Err()
	}
	return nil
}

// dialing is the Handler of a stream to a server, until the handshake has ended.
type dialing struct {
	session.Handler // of httpsession.Ask

	conn             *Conn
	handshake        *websocket.Client
	network, address string
	stream           *session.DialOptions
	timeout          time.Duration
	timer            *session.Timer
	result           chan error // of Dial; nil: Connect
}

func newDialing(rawURL string, h Handler, o *DialOptions) (*dialing, error) {
	var mine DialOptions
	if o != nil {
		mine = *o
	}
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("wssession: dial: %w", err)
	}
	d := &dialing{conn: newConn(h, mine.Options.withDefaults(), true), timeout: mine.HandshakeTimeout}
	if d.stream, err = mine.below(u); err != nil {
		return nil, err
	}
	if d.timeout == 0 {
		d.timeout = defaultHandshakeTimeout
	}
	d.network, d.address = mine.where(u)
	d.handshake = &websocket.Client{URL: u, Subprotocols: mine.Subprotocols, Compression: mine.Compression, Header: mine.Header}
	q, err := d.handshake.Request()
	if err != nil {
		return nil, err
	}
	d.Handler, err = httpsession.Ask(q, &httpsession.ClientOptions{Limits: http1.Limits{BodyBytes: 1 << 20}}, d.answered)
	return d, err
}

// where returns where to connect for a URL.
func (o *DialOptions) where(u *url.URL) (network, address string) {
	if network = o.Network; network == "" {
		network = "tcp"
	}
	if o.Address != "" {
		return network, o.Address
	}
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "wss":
		port = "443"
	default:
		port = "80"
	}
	return network, net.JoinHostPort(u.Hostname(), port)
}

// below returns the options of the connection for a URL: with TLS for wss, and without it for ws.
func (o *DialOptions) below(u *url.URL) (*session.DialOptions, error) {
	var mine session.DialOptions
	if o.Stream != nil {
		mine = *o.Stream
	}
	switch {
	case u.Scheme != "wss" && mine.TLS != nil:
		return nil, fmt.Errorf("wssession: dial %v: DialOptions.Stream has TLS, which is for wss", u)
	case u.Scheme == "wss" && mine.TLS == nil:
		mine.TLS = &tls.Config{ServerName: u.Hostname()}
	}
	return &mine, nil
}

// OnOpen implements session.Handler.
func (d *dialing) OnOpen(s *session.Stream) {
	d.conn.bind(s)
	if d.timeout > 0 {
		d.timer = s.After(d.timeout, func() { _ = s.AbortWith(os.ErrDeadlineExceeded) })
	}
	d.Handler.OnOpen(s)
}

// answered follows the server's response, or its absence.
func (d *dialing) answered(s *session.Stream, r *http1.Response, err error) {
	if d.timer != nil {
		d.timer.Stop()
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
	d.conn.begin(s)
	if d.result != nil {
		d.result <- nil
	}
}

// failed tells whoever waits.
func (d *dialing) failed(err error) {
	if d.result != nil {
		d.result <- err
		return
	}
	d.conn.handler.OnClose(d.conn, err)
}
