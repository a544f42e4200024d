package httpsession

import (
	"bufio"
	"errors"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
)

// errReturned is for a handler that goes on writing after it has returned.
var errReturned = errors.New("httpsession: the handler has returned, and its answer is on its way")

// answer is a ResponseWriter that keeps what is written, up to a Flush. It may be used until the handler returns, or until
// Close of its Async; a handler that goes on longer gets errors.
type answer struct {
	stream  *session.Stream
	conn    *conn
	asked   *http.Request
	context requestContext
	live    *life    // nil: the exchange ends when the handler returns
	body    *inParts // nil: the request is whole

	mu       sync.Mutex  // guards what follows, because a handler may have started goroutines
	header   http.Header // the handler's
	spare    *spare      // memory for what follows; nil: it was given back
	sent     http.Header // as it was when the status was decided; nil: it has not been
	status   int
	length   int64 // Content-Length that the handler has set, -1: none
	content  []byte
	hijacked bool
	returned bool
	expects  bool   // the client waits for 100 Continue
	paused   bool   // the handler does not want the content now
	early    bool   // the request is not whole
	final    bool   // the connection ends behind the response
	parts    *going // nil: the response is kept until it is whole
}

// going is what is known of a response that comes in parts.
type going struct {
	head   *http1.Response // as it was sent; nil: it was not yet
	went   int64           // bytes of content in the parts that were sent
	pauses int             // see pauseCount
}

// begun returns the head of a response in parts, if it was sent, or nil. mu is held, or nobody else uses the answer.
func (a *answer) begun() *http1.Response {
	if a.parts == nil {
		return nil
	}
	return a.parts.head
}

func newAnswer(s *session.Stream, c *conn, r *http.Request) *answer {
	a := &answer{stream: s, conn: c, asked: r, header: http.Header{}, length: -1}
	a.context.parent = c.context
	if a.spare, c.spare = c.spare, nil; a.spare == nil {
		a.spare = &spare{sent: http.Header{}}
	}
	a.content = a.spare.content
	return a
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. As in net/http, an interim response such as 103 is sent at once, with the
// fields of Header.
func (a *answer) WriteHeader(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		a.interim(status)
		return
	}
	a.writeHeader(status)
}

func (a *answer) writeHeader(status int) {
	if a.sent != nil || status < 200 || a.hijacked || a.returned {
		return
	}
	a.status, a.sent = status, a.spare.sent
	maps.Copy(a.sent, a.header)
	if values := a.sent["Content-Length"]; len(values) > 0 {
		if n, err := strconv.ParseInt(values[0], 10, 64); err == nil && n >= 0 {
			a.length = n
		}
	}
}

// Write implements io.Writer. As in net/http, writing more than the Content-Length of the handler is http.ErrContentLength,
// and writing content that the status does not allow is http.ErrBodyNotAllowed.
func (a *answer) Write(p []byte) (int, error) { return write(a, p) }

// WriteString implements io.StringWriter.
func (a *answer) WriteString(s string) (int, error) { return write(a, s) }

func write[T string | []byte](a *answer, p T) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.hijacked:
		return 0, http.ErrHijacked
	case a.returned:
		return 0, errReturned
	}
	a.writeHeader(http.StatusOK)
	switch {
	case !allowsContent(a.status):
		return 0, http.ErrBodyNotAllowed
	case a.length >= 0 && a.went()+int64(len(a.content)+len(p)) > a.length:
		return 0, http.ErrContentLength
	}
	before := len(a.content)
	a.content = append(a.content, p...)
	if a.parts != nil && len(a.content) > partBytes {
		if err := a.emit(); err != nil {
			a.content = a.content[:before]
			return 0, err
		}
	}
	return len(p), nil
}

func allowsContent(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// Hijack implements http.Hijacker. The connection is that of Stream.Detach, with every byte that followed the request. It is
// live when the handler has returned. After a write Hijack returns an error.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.taken(); err != nil {
		return nil, nil, err
	}
	c, err := a.stream.Detach()
	if err != nil {
		return nil, nil, err
	}
	a.hijacked = true
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// taken returns why the connection cannot be taken away from HTTP. mu is held.
func (a *answer) taken() error {
	switch {
	case a.hijacked:
		return http.ErrHijacked
	case a.returned:
		return errReturned
	case a.sent != nil:
		return errors.New("httpsession: hijack or hand over: an answer has been written already")
	case a.live.isAsync():
		return errors.New("httpsession: hijack or hand over: StartAsync was called")
	}
	return nil
}

// finish ends the handler's use of the answer. It reports whether there is a response to be sent.
func (a *answer) finish() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.writeHeader(http.StatusOK)
	a.returned = true
	return !a.hijacked
}

// silence ends the handler's use of the answer, because another one is sent. It reports false if the handler's has begun.
func (a *answer) silence() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.returned = true
	return a.begun() == nil && !a.hijacked && (a.live == nil || !a.live.over)
}

// errTooShort means that a handler wrote less than its Content-Length. The client must not take it for the whole content.
var errTooShort = errors.New("the handler has written less than its Content-Length")

// response returns what was written, with the fields that net/http's server adds.
func (a *answer) response() (*http1.Response, error) {
	h := a.sent
	bare := a.asked.Method == http.MethodHead || a.status == http.StatusNotModified
	switch {
	case bare && a.length >= 0 && len(a.content) == 0: // Content-Length is that of the response to GET
	case a.length > int64(len(a.content)) && allowsContent(a.status) && a.asked.Method != http.MethodHead:
		return nil, errTooShort
	default:
		delete(h, "Content-Length") // Append writes that of the content
	}
	a.complete(h, session.Lately(a.stream))
	a.spare.head = http.Response{StatusCode: a.status, Header: h, Request: a.asked}
	r := &a.spare.response
	r.Response, r.Content = &a.spare.head, a.content
	if r.Trailer = a.trailer(); len(r.Trailer) > 0 && a.asked.Method == http.MethodHead {
		r.Trailer, r.Content, r.ContentLength = nil, nil, -1 // the response to GET is chunked and has no length
	}
	return r, nil
}

// complete sets the fields that net/http's server adds.
func (a *answer) complete(h http.Header, now time.Time) {
	delete(h, "Transfer-Encoding")
	if _, set := h["Content-Type"]; !set && len(a.content) > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(a.content))
	}
	if _, set := h["Date"]; !set {
		h["Date"] = a.conn.of.dates.at(now).values
	}
}

// trailer returns the fields that the handler has announced in Trailer and set afterwards, and those that it has set with
// http.TrailerPrefix. It is nil if the response cannot have a trailer.
func (a *answer) trailer() http.Header {
	var trailer http.Header
	add := func(name string, values []string) {
		if name = http.CanonicalHeaderKey(name); len(values) == 0 || !allowedTrailer(name) {
			return
		}
		if trailer == nil {
			trailer = http.Header{}
		}
		trailer[name] = append(trailer[name], values...)
	}
	for _, list := range a.sent["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			add(name, a.header.Values(name))
		}
	}
	for name, values := range a.header {
		if after, is := strings.CutPrefix(name, http.TrailerPrefix); is {
			add(after, values)
			delete(a.sent, name)
		}
	}
	delete(a.sent, "Trailer") // Append writes it
	if !a.asked.ProtoAtLeast(1, 1) || !allowsContent(a.status) {
		return nil
	}
	return trailer
}

// allowedTrailer reports whether a trailer may have a field. RFC 9110, section 6.5.1.
func allowedTrailer(name string) bool { return !badTrailer[name] && !strings.HasPrefix(name, "If-") }

// badTrailer are the fields that a trailer must not have, because they decide how to read the message; RFC 9110, 6.5.1.
var badTrailer = map[string]bool{
	"Authorization": true, "Cache-Control": true, "Connection": true, "Content-Encoding": true, "Content-Length": true,
	"Content-Range": true, "Content-Type": true, "Expect": true, "Host": true, "Keep-Alive": true, "Max-Forwards": true,
	"Pragma": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Range": true,
	"Realm": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Www-Authenticate": true,
}
