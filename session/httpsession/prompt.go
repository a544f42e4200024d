package httpsession

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/http1"
)

// ErrExchangeTimeout ends an exchange that took longer than ClientOptions.ExchangeTimeout. It is os.ErrDeadlineExceeded.
var ErrExchangeTimeout = fmt.Errorf("httpsession: the exchange took longer than ExchangeTimeout: %w", os.ErrDeadlineExceeded)

// errNotWanted is what a client gets for content that a server has not asked for.
var errNotWanted = fmt.Errorf("httpsession: write: the server has answered without asking for the content: %w", net.ErrClosed)

// continueTimeout returns ExpectContinueTimeout with its default.
func (o *ClientOptions) continueTimeout() time.Duration {
	if o.ExpectContinueTimeout == 0 {
		return time.Second
	}
	return o.ExpectContinueTimeout
}

// prompt is the wait of a request in parts for 100 Continue. RFC 9110, section 10.1.1.
type prompt struct {
	timeout time.Duration
	waits   bool
	refused bool      // a final response has come instead
	behind  int       // requests that were without a response when this one was written, itself included
	until   time.Time // when the content is sent anyway
}

// asked follows the head of a request. outstanding is the number of requests without a response, itself included.
func (p *prompt) asked(r *http1.Request, outstanding int) {
	p.refused, p.behind = false, outstanding
	if p.waits = r.Part == http1.First && p.timeout > 0 && expects(r); p.waits {
		p.until = backend.SystemClock{}.Now().Add(p.timeout)
	}
}

// expects reports whether a request of a client has Expect: 100-continue. Its version may not be set.
func expects(r *http1.Request) bool {
	if r.ProtoMajor == 1 && r.ProtoMinor == 0 {
		return false
	}
	newer := http.Request{ProtoMajor: 1, ProtoMinor: 1, Header: r.Header}
	return (&http1.Request{Request: &newer}).ExpectsContinue()
}

// came follows a response.
func (p *prompt) came(r *http1.Response) {
	switch {
	case !p.waits:
	case r.Interim():
		if p.behind <= 1 && r.StatusCode == http.StatusContinue {
			p.waits = false
		}
	case p.behind <= 1:
		p.waits, p.refused = false, true
	case r.Part.Ends():
		p.behind--
	}
}

// state reports whether the content has to wait, or that it is not wanted.
func (p *prompt) state() (waits bool, err error) {
	switch {
	case p.refused:
		return false, errNotWanted
	case p.waits && backend.SystemClock{}.Now().Before(p.until):
		return true, nil
	}
	p.waits = false
	return false, nil
}
