package httpsession

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// ClientOptions are those of a Client. The zero value is right for most.
type ClientOptions struct {
	// Limits bound responses. Default: those of http1.Limits.
	Limits http1.Limits

	// Parts is called with the head of each response that has content. If it reports true, the content is delivered in
	// parts, as it comes: the same response is read for each of them, as http1.Part says. Limits.PartsBytes bounds it then.
	// Default nil: responses are whole.
	Parts func(*http1.Response) bool

	// Interim has interim responses, such as 103 Early Hints, delivered too, in front of the final one. Default: they are
	// skipped.
	Interim bool

	// ExpectContinueTimeout is the longest wait for 100 Continue, if a request in parts has Expect: 100-continue: then its
	// content is sent anyway. Default 1 s; negative: it does not wait.
	ExpectContinueTimeout time.Duration

	// ExchangeTimeout is the longest time from a request's first byte, or Pool.Do, to the last byte of its response. The
	// exchange ends with ErrExchangeTimeout then, and no other does; but its connection carries no more requests, and a
	// Client, which has only that, ends. Default 0: none.
	ExchangeTimeout time.Duration

	// Pipeline is the largest number of requests without a response. Default 1, because not every server handles more
	// correctly.
	Pipeline int

	// MessageTimeout is the longest time from a response's first byte to its last; of one in parts it counts from the
	// head on. Read fails then, and the connection ends. Default 0: none.
	MessageTimeout time.Duration

	// WriteBuffer is the size of the buffer for encoded requests, as in polled.NewFramed. In bytes. Default 64 KiB.
	WriteBuffer int

	// Notify is called when a connection has something for its owner, as polled.Notifier says: of Connect the Client, of a
	// Pool each connection that it opens. The owner of a Pool then drives it, and all Exchanges that have not ended.
	// NewClient and Ask do not look at it. Default nil: nobody is told.
	Notify func()

	// TLS is the configuration of connections to https servers: Connect uses TLS if it is set, a Pool for every URL of
	// https, and NewClient and Ask not at all. ServerName is by default the host that is dialled. NextProtos is not
	// looked at: the only protocol that is offered is http/1.1. Default nil: none, and in a Pool the zero Config.
	TLS *tls.Config
}

// encrypted returns the configuration of a connection to an https server.
func encrypted(c *tls.Config) *tls.Config {
	if c == nil {
		c = &tls.Config{}
	}
	c = c.Clone()
	c.NextProtos = []string{"http/1.1"}
	return c
}

// Client is a Session that writes requests and reads their responses, in order, over one connection.
//
// Interim responses (1xx except 101) are skipped, unless ClientOptions.Interim is set. Write returns Pending while Pipeline
// requests have no response, and net.ErrClosed after a request or a response that closes the connection. If the server
// finishes while a response is due, Read returns an error that is io.ErrUnexpectedEOF; also if a response that ends
// with the connection is all there, and the connection has TLS that ended without close_notify, because somebody in
// between may have cut it.
//
// A request may be written in parts, as http1.Part says: the same request with another Part and Content each time. While the
// server has not answered Expect: 100-continue, for ExpectContinueTimeout at most, Write returns Pending behind the
// first. The response may come before the last part; a server that closes then does not want the rest. The connection
// is not reconnected: Read reports its end, and requests that have no response can be sent again on another one if they
// are idempotent.
type Client struct {
	framed  *polled.MessageSession[*http1.Response, *http1.Request]
	decoder behindDecoder
	late    lateness
	most    int    // limit of requests without a response
	upgrade []bool // whether the requests without a response asked for another protocol
	ended   bool   // whether the connection carries no more requests

	switched bool // whether the last response has ended HTTP
	tls      *tls.ConnectionState

	interim bool
	sending sending
	prompt  prompt
	patient time.Duration // ExchangeTimeout
	begun   []time.Time   // when the requests without a response were written, if that is set
}

// tlsOf returns what is known of the TLS of a connection, for http.Request and http.Response, or nil if it is plain.
func tlsOf(c interface {
	TLS() (session.TLSState, bool)
}) *tls.ConnectionState {
	state, ok := c.TLS()
	if !ok {
		return nil
	}
	return &state.ConnectionState
}

// knownDecoder is a Codec for one connection, with a Decoder that was made before.
type knownDecoder[M any] struct {
	frame.Codec[M]
	decoder frame.Decoder[M]
}

func (c knownDecoder[M]) NewDecoder() frame.Decoder[M] { return c.decoder }

// behindDecoder also knows how many bytes had come behind the last message.
type behindDecoder struct {
	*http1.ResponseDecoder
	behind int
}

// Decode implements frame.Decoder.
func (d *behindDecoder) Decode(p []byte) (m *http1.Response, n, need int, err error) {
	m, n, need, err = d.ResponseDecoder.Decode(p)
	d.behind = len(p) - n
	return m, n, need, err
}

// NewClient makes a Client of a connection, which may still be Establishing. o may be nil.
func NewClient(inner polled.Bytes, o *ClientOptions) *Client {
	var mine ClientOptions
	if o != nil {
		mine = *o
	}
	responses := http1.Responses{Limits: mine.Limits, Parts: mine.Parts}
	c := &Client{
		decoder: behindDecoder{ResponseDecoder: responses.NewResponseDecoder()}, most: max(mine.Pipeline, 1), late: lateness{timeout: mine.MessageTimeout},
		interim: mine.Interim, prompt: prompt{timeout: mine.continueTimeout()}, patient: mine.ExchangeTimeout,
	}
	in := knownDecoder[*http1.Response]{responses, &c.decoder}
	c.framed = polled.NewDuplex(inner, in, http1.Requests{}, mine.WriteBuffer)
	return c
}

// Connect is NewClient on a connection of polled.Connect to a TCP address, with TLS if ClientOptions.TLS is set. o may be
// nil.
func Connect(t polled.Transport, address string, o *ClientOptions) (*Client, error) {
	var dial session.DialOptions
	if o != nil && o.TLS != nil {
		dial.TLS = encrypted(o.TLS)
	}
	inner, err := polled.Connect(t, "tcp", address, &dial)
	if err != nil {
		return nil, err
	}
	c := NewClient(inner, o)
	if o != nil && o.Notify != nil {
		return c, c.Notify(o.Notify)
	}
	return c, nil
}

// Notify implements polled.Notifier. That MessageTimeout, ExchangeTimeout or ExpectContinueTimeout has passed is not told.
func (c *Client) Notify(fn func()) error { return c.framed.Notify(fn) }

// Status implements polled.Session.
func (c *Client) Status() polled.Status { return c.framed.Status() }

// Drive implements polled.Session.
func (c *Client) Drive() (polled.Activity, error) { return c.framed.Drive() }

// Flush implements polled.Session.
func (c *Client) Flush() error { return c.framed.Flush() }

// Close implements polled.Session.
func (c *Client) Close() error { return c.framed.Close() }

// Detach returns the connection as a net.Conn, with the bytes that followed the last response, as Detach of
// polled.MessageSession does: for a tunnel after CONNECT, or for another protocol after 101. The Client ends.
func (c *Client) Detach() (net.Conn, error) {
	conn, err := c.framed.Detach()
	if err == nil {
		c.ended = true
	}
	return conn, err
}

// HandOver returns the Session below, for another protocol on the same connection, once Read has returned 101, or 2xx to
// CONNECT: it reads what followed that response. The caller drives and closes it from then on. The Client ends.
func (c *Client) HandOver() (polled.Bytes, error) {
	if !c.switched {
		return nil, errNotSwitched
	}
	return c.framed.HandOver()
}

// Outstanding returns the number of requests that were written and have no response.
func (c *Client) Outstanding() int { return c.decoder.Outstanding() }

// Write implements polled.Session. A request that cannot be encoded is an error of that Write alone.
func (c *Client) Write(r *http1.Request) (rest *http1.Request, status polled.WriteStatus, err error) {
	switch {
	case c.sending.within || r != nil && !r.Part.Begins():
		return c.writePart(r)
	case c.ended:
		return r, polled.Pending, fmt.Errorf("httpsession: write: the connection carries no more requests: %w", net.ErrClosed)
	case c.Outstanding() >= c.most:
		return r, polled.Pending, nil
	}
	if rest, status, err = c.put(r); err != nil || status != polled.Success {
		return rest, status, err
	}
	c.decoder.Expect(methodOf(r))
	if c.patient > 0 {
		c.begun = append(c.begun, backend.SystemClock{}.Now())
	}
	c.ended = !r.KeepAlive()
	c.upgrade = append(c.upgrade, len(r.Header["Upgrade"]) > 0)
	c.prompt.asked(r, c.Outstanding())
	return nil, polled.Success, nil
}

// put writes a request, or a part of one.
func (c *Client) put(r *http1.Request) (rest *http1.Request, status polled.WriteStatus, err error) {
	if r == nil || r.Request == nil || r.Part == http1.Whole && !c.sending.within {
		return c.framed.Write(r)
	}
	length := lengthOf(r.ContentLength, r.Header)
	if err := c.sending.check(r.Part, len(r.Content), length, false); err != nil {
		return r, polled.Pending, err
	}
	if rest, status, err = c.framed.Write(r); err == nil && status == polled.Success {
		c.sending.wrote(r.Part, len(r.Content), length, false)
	}
	return rest, status, err
}

// writePart writes a part of a request behind the first.
func (c *Client) writePart(r *http1.Request) (rest *http1.Request, status polled.WriteStatus, err error) {
	switch waits, err := c.prompt.state(); {
	case err != nil:
		c.ended = true
		return r, polled.Pending, err
	case waits:
		return r, polled.Pending, nil
	}
	return c.put(r)
}

// Read implements polled.Session. The response's Content is valid until the next Read or Close.
func (c *Client) Read() (*http1.Response, polled.ReadStatus, error) {
	if len(c.begun) > 0 && c.Outstanding() > 0 && (backend.SystemClock{}).Since(c.begun[0]) >= c.patient {
		c.ended = true
		_ = c.Close()
		return nil, polled.None, ErrExchangeTimeout
	}
	for {
		r, status, err := c.framed.Read()
		switch {
		case err == io.EOF && c.Outstanding() > 0:
			return nil, polled.None, fmt.Errorf("httpsession: read: the server finished with %d responses due: %w",
				c.Outstanding(), io.ErrUnexpectedEOF)
		case err == nil && status != polled.Data && c.late.exceeded(status):
			c.ended = true
			_ = c.Close()
			return nil, polled.None, c.late.err()
		case err != nil || status != polled.Data:
			return nil, status, err
		}
		c.late.came(r.Part)
		c.prompt.came(r)
		switch {
		case r.Interim() && c.interim:
			return r, polled.Data, nil
		case r.Interim():
			continue
		case r.StatusCode == http.StatusSwitchingProtocols && !c.upgrade[0]:
			_ = c.Close()
			return nil, polled.None, errUnasked
		}
		if c.tls == nil {
			c.tls = tlsOf(c.framed)
		}
		r.TLS = c.tls
		if r.Part.Ends() {
			c.upgrade = slices.Delete(c.upgrade, 0, 1)
			if len(c.begun) > 0 {
				c.begun = c.begun[1:]
			}
		}
		c.switched = r.Switched()
		c.ended = c.ended || !r.KeepAlive() || c.Outstanding() == 0 && c.decoder.behind > 0 // which must not answer the next request
		return r, polled.Data, nil
	}
}

// reusable reports whether the connection can carry another request. It detects bytes that the server sent unasked.
func (c *Client) reusable() bool {
	if c.ended || c.Outstanding() > 0 || c.sending.within {
		return false
	}
	if _, err := c.Drive(); err != nil {
		return false
	}
	_, status, err := c.Read()
	return err == nil && status == polled.None && c.Status() == polled.Established
}

var (
	_ polled.Session[*http1.Response, *http1.Request] = (*Client)(nil)
	_ polled.Notifier                                 = (*Client)(nil)
)
