package wssession

import (
	"net/http"
	"slices"
	"time"

	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session"
)

// Options are those of both ends of a connection. The zero value is right for most.
type Options struct {
	// MaxMessage limits a received message, with all of its fragments, and when it is inflated. In bytes. Default 16 MiB; a
	// negative value means 0. A peer that sends more gets 1009. With Fragments it limits each fragment.
	MaxMessage int

	// MaxFragments limits how many fragments a message may be put together of. Default 65,536; negative: no limit. A peer
	// that sends more gets 1009. Fragments that are delivered one by one are not counted.
	MaxFragments int

	// Fragments delivers a message as it is sent, fragment by fragment, for those that are endless or large. A compressed
	// message always comes whole.
	Fragments bool

	// Compression offers, or accepts, permessage-deflate. Neither side keeps a context between messages. Default false.
	Compression bool

	// CompressionThreshold is the size from which on a message is compressed, if that was agreed upon. In bytes. Default
	// 512. Messages that do not get smaller are sent as they are, and fragments always.
	CompressionThreshold int

	// CompressionLevel is one of package flate. Default flate.BestSpeed.
	CompressionLevel int

	// Subprotocols are those that this end speaks, the preferred one first. Default none.
	Subprotocols []string

	// CloseTimeout is how long this end waits for the answer to its Close, and a client for the server to end the
	// connection. Then it ends the connection itself. Default 5 s.
	CloseTimeout time.Duration

	// FrameTimeout is the longest time from a frame's first byte to its last, as MessageTimeout of session.FrameHandler.
	// Default 0: none. Conn only.
	FrameTimeout time.Duration

	// WriteBuffer is the size of the buffer for encoded messages, as in polled.NewFramed. In bytes. Default 64 KiB. Session
	// only.
	WriteBuffer int
}

// ServerOptions are those of a server's end.
type ServerOptions struct {
	Options

	// Origin decides whether a request may come from where its Origin says, which browsers set. Default nil: the origin
	// must have the host of the request, and requests without one may come. It must not block.
	Origin func(r *http.Request) bool

	// Header has further fields of the response 101, such as Set-Cookie.
	Header http.Header
}

// DialOptions are those of a client's end.
type DialOptions struct {
	Options

	// Header has further fields of the request, such as Origin, Cookie and Authorization.
	Header http.Header

	// HandshakeTimeout is how long the server may take for its response, once the connection is there. Default 10 s; negative:
	// no limit. A Session has no such limit.
	HandshakeTimeout time.Duration

	// Notify is called when a Session has something for its owner, as polled.Notifier says. Default nil: nobody is told.
	// ConnectSession only.
	Notify func()

	// Network and Address say where to connect. Default "tcp", and host and port of the URL.
	Network, Address string

	// Stream are the options of the connection below. Its TLS is for the scheme wss; with Address and without a ServerName
	// in it, the name that the certificate must have is that of Address. Default nil: all defaults.
	Stream *session.DialOptions
}

const (
	defaultThreshold        = 512
	defaultCloseTimeout     = 5 * time.Second
	defaultHandshakeTimeout = 10 * time.Second
)

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() *Options {
	if o.CompressionThreshold == 0 {
		o.CompressionThreshold = defaultThreshold
	}
	if o.CloseTimeout <= 0 {
		o.CloseTimeout = defaultCloseTimeout
	}
	o.FrameTimeout = max(o.FrameTimeout, 0)
	o.Subprotocols = slices.Clone(o.Subprotocols)
	return &o
}

// codec returns the codec of a connection.
func (o *Options) codec(client bool, agreed websocket.Agreement) websocket.Codec {
	return websocket.Codec{
		Client: client, MaxMessage: o.MaxMessage, MaxFragments: o.MaxFragments, Fragments: o.Fragments, Compression: agreed.Compression,
	}
}

// server returns the server's side of handshakes. o may be nil.
func (o *ServerOptions) server() *websocket.Server {
	if o == nil {
		return &websocket.Server{}
	}
	return &websocket.Server{
		Subprotocols: slices.Clone(o.Subprotocols), Compression: o.Compression, Origin: o.Origin, Header: o.Header.Clone(),
	}
}

// common returns the options of both ends. o may be nil.
func (o *ServerOptions) common() *Options {
	if o == nil {
		return Options{}.withDefaults()
	}
	return o.Options.withDefaults()
}
