package http1

import (
	"net/http"
	"slices"
	"strconv"
)

// RawResponse is a response that is put together in the form in which it is sent, without the types of net/http. Its zero
// value is a response 200 without content. It is whole, and final: for parts, trailers and 1xx there is Response. One
// goroutine at a time may use it. Its memory is used again after Reset.
type RawResponse struct {
	Status int    // default 0: 200
	Close  bool   // the connection ends behind the response
	Date   string // value of Date; "": there is none

	fields  []byte // lines
	lines   int
	dated   bool   // Date is among fields
	written []byte // content
	lent    []byte // content, in memory of the caller; nil: it is in written
	wrong   *fault // the first error of Add
}

// Reset makes r the zero value, and keeps its memory, unless that is much.
func (r *RawResponse) Reset() {
	fields, written := r.fields[:0], r.written[:0]
	if cap(fields) > mostKept {
		fields = nil
	}
	if cap(written) > mostKept {
		written = nil
	}
	*r = RawResponse{fields: fields, written: written}
}

// mostKept is how much memory of either kind a RawResponse keeps, in bytes.
const mostKept = 64 << 10

// Add adds a field. The error is for a name or a value that must not be sent, and for fields that belong to framing:
// Content-Length, Transfer-Encoding and Trailer, and Connection, for which there is Close. It is that of AppendHead, too.
func (r *RawResponse) Add(name, value string) error {
	f := r.add(name, value)
	if f == nil {
		return nil
	}
	if r.wrong == nil {
		r.wrong = f
	}
	return f.as(responseCodec)
}

func (r *RawResponse) add(name, value string) *fault {
	for _, own := range [...]string{"connection", "content-length", "transfer-encoding", "trailer"} {
		if len(own) == len(name) && sameFold(name, own) {
			return malformed(0, "%s is not for Add: the response says that itself", name)
		}
	}
	fields, f := appendLine(r.fields, name, value)
	if f != nil {
		return f
	}
	r.fields = fields
	r.lines++
	r.dated = r.dated || sameFold(name, "date")
	return nil
}

// Write adds p to the content. It always returns len(p) and nil.
func (r *RawResponse) Write(p []byte) (int, error) {
	r.written = append(r.own(), p...)
	return len(p), nil
}

// WriteString is Write for a string.
func (r *RawResponse) WriteString(s string) (int, error) {
	r.written = append(r.own(), s...)
	return len(s), nil
}

// own returns the content in memory of r.
func (r *RawResponse) own() []byte {
	if r.lent != nil {
		r.written, r.lent = append(r.written[:0], r.lent...), nil
	}
	return r.written
}

// SetContent replaces what was written by p, which is not copied. It stays the caller's, and must not change until the
// response was appended or Reset.
func (r *RawResponse) SetContent(p []byte) { r.written, r.lent = r.written[:0], p }

// Content returns what was written. It is valid until the next call of another method.
func (r *RawResponse) Content() []byte {
	if r.lent != nil {
		return slices.Clip(r.lent)
	}
	return slices.Clip(r.written)
}

// KeepAlive reports whether the connection carries HTTP after r, the response to a request.
func (r *RawResponse) KeepAlive(to *RawRequest) bool { return !r.Close && to.KeepAlive() }

// Append appends r, the response to a request, with its content. The error is a *frame.Error: for one of Add, for a status
// that is none or is interim, 101, or 2xx to CONNECT, for content where there must be none, and for what exceeds the limits
// HeadBytes, HeadLines and BodyBytes.
func (r *RawResponse) Append(dst []byte, to *RawRequest, l Limits) ([]byte, error) {
	dst, content, err := r.AppendHead(dst, to, l)
	return append(dst, content...), err
}

// AppendHead is Append without the content, which it returns: nil in response to HEAD.
func (r *RawResponse) AppendHead(dst []byte, to *RawRequest, l Limits) (longer, content []byte, err error) {
	l = l.resolved()
	longer, content, f := r.appendHead(dst, to, &l)
	if f != nil {
		return dst, nil, f.as(responseCodec)
	}
	return longer, content, nil
}

func (r *RawResponse) appendHead(dst []byte, to *RawRequest, l *Limits) (longer, content []byte, f *fault) {
	start := len(dst)
	content = r.Content()
	if f := r.check(to, content, l); f != nil {
		return dst, nil, f
	}
	dst = r.appendStatus(dst)
	dst, lines, f := r.appendFraming(dst, len(content), to)
	if f != nil {
		return dst, nil, f
	}
	lines += r.lines
	dst = append(append(dst, r.fields...), crlf...)
	switch {
	case len(dst)-start > l.HeadBytes:
		return dst, nil, tooLarge(l.HeadBytes, 0, "a head of more than %d bytes", l.HeadBytes)
	case lines > l.HeadLines:
		return dst, nil, tooLarge(0, 0, "a head of more than %d fields", l.HeadLines)
	}
	if to.head.request.bare { // whatever the handler has made of Method
		content = nil
	}
	return dst, content, nil
}

// appendFraming appends the fields that the handler does not set, and returns how many those are.
func (r *RawResponse) appendFraming(dst []byte, length int, to *RawRequest) (longer []byte, lines int, f *fault) {
	if r.Status != http.StatusNoContent && r.Status != http.StatusNotModified {
		dst = append(dst, "Content-Length: "...)
		dst = append(strconv.AppendInt(dst, int64(length), 10), crlf...)
		lines++
	}
	switch keeps := r.KeepAlive(to); {
	case !keeps:
		dst = append(dst, "Connection: close\r\n"...)
		lines++
	case to.head.minor == 0:
		dst = append(dst, "Connection: keep-alive\r\n"...)
		lines++
	}
	if r.Date != "" && !r.dated {
		dst, f = appendLine(dst, "Date", r.Date)
		lines++
	}
	return dst, lines, f
}

// appendStatus appends the status line. RFC 9112, section 4.
func (r *RawResponse) appendStatus(dst []byte) []byte {
	if r.Status == 0 || r.Status == http.StatusOK {
		return append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = append(appendDigits(append(dst, "HTTP/1.1 "...), r.Status), ' ')
	return append(append(dst, http.StatusText(r.Status)...), crlf...)
}

// check refuses what must not be sent.
func (r *RawResponse) check(to *RawRequest, content []byte, l *Limits) *fault {
	switch {
	case r.wrong != nil:
		return r.wrong
	case r.Status == 0, r.Status == http.StatusOK:
	case r.Status < 100 || r.Status > 999:
		return malformed(0, "%d is no status", r.Status)
	case r.Status < 200:
		return malformed(0, "a raw response %d: it is not the last one", r.Status)
	case (r.Status == http.StatusNoContent || r.Status == http.StatusNotModified) && len(content) > 0:
		return malformed(0, "a response %d with Content", r.Status)
	}
	if r.Status/100 <= 2 && to.head.request.connect {
		return malformed(0, "a raw response 2xx to CONNECT: it would end HTTP")
	}
	if len(content) > l.BodyBytes {
		return tooLarge(0, 0, "content of %d bytes, and the limit is %d", len(content), l.BodyBytes)
	}
	return nil
}
