package wssession

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// opening is a client's side of one opening handshake, be it of a Conn or of a Session.
type opening struct {
	DialOptions // a copy, with its defaults

	url       *url.URL
	options   *Options
	handshake *websocket.Client
	request   *http1.Request
}

func newOpening(rawURL string, o *DialOptions) (*opening, error) {
	p := new(opening)
	if o != nil {
		p.DialOptions = *o
	}
	if p.HandshakeTimeout == 0 {
		p.HandshakeTimeout = defaultHandshakeTimeout
	}
	p.options = p.withDefaults()
	var err error
	if p.url, err = url.Parse(rawURL); err != nil {
		return nil, fmt.Errorf("wssession: dial: %w", err)
	}
	p.handshake = &websocket.Client{URL: p.url, Subprotocols: p.options.Subprotocols, Compression: p.Compression, Header: p.Header}
	p.request, err = p.handshake.Request()
	return p, err
}

// http returns the options of HTTP until the handshake has ended.
func (p *opening) http() *httpsession.ClientOptions {
	return &httpsession.ClientOptions{Limits: http1.Limits{BodyBytes: 1 << 20}}
}

// where returns where to connect, and the options of the connection: with TLS for wss, and without it for ws.
func (p *opening) where() (network, address string, o *session.DialOptions, err error) {
	var below session.DialOptions
	if p.Stream != nil {
		below = *p.Stream
	}
	switch {
	case p.url.Scheme != "wss" && below.TLS != nil:
		return "", "", nil, fmt.Errorf("wssession: dial %v: DialOptions.Stream has TLS, which is for wss", p.url)
	case p.url.Scheme == "wss" && below.TLS == nil:
		below.TLS = &tls.Config{ServerName: p.url.Hostname()}
	}
	if network = p.Network; network == "" {
		network = "tcp"
	}
	if address = p.Address; address == "" {
		address = net.JoinHostPort(p.url.Hostname(), p.port())
	}
	return network, address, &below, nil
}

// port returns the port of the URL, or that of its scheme.
func (p *opening) port() string {
	port := p.url.Port()
	switch {
	case port != "":
		return port
	case p.url.Scheme == "wss":
		return "443"
	}
	return "80"
}
