package http1

import (
	"bytes"
	"io"
	"maps"
	"net/http"
)

// Request is a request with its content.
//
// From a Decoder: all fields of the http.Request are as http.ReadRequest sets them for servers. ContentLength is that of
// the head, -1 for chunks. Trailer has the announced and the received fields. Body reads Content, for code that expects an
// http.Request; it can be read once. Content may refer to the bytes passed to Decode, and is valid as long as they are; so
// is Body. Header, Trailer and URL have memory of their own.
//
// For Append: Method ("" is GET), RequestURI ("" is that of URL), Host ("" is URL.Host), Header, Close, Trailer and
// Content are used. The content is chunked if there is a Trailer, if TransferEncoding is chunked or if ContentLength is
// -1, and has a Content-Length otherwise; a ContentLength above 0 must be that of Content. The version is HTTP/1.1, unless
// ProtoMajor and ProtoMinor are those of 1.0. A Body from which Append would have to read is refused: put its bytes in
// Content.
//
// In parts, the caller of Append passes the same head with each: only its Part and Content change, and the values of its
// Trailer, whose names First announces. ContentLength, or a Content-Length in Header, is that of all parts together, and
// counting is up to the caller. Without one, which is a ContentLength of 0 or -1, the content is chunked.
type Request struct {
	*http.Request
	Content []byte
	Part    Part
}

// KeepAlive reports whether the client wants to send more requests on this connection. RFC 9112, section 9.3.
func (r *Request) KeepAlive() bool {
	return !r.Close && !hasToken(r.Header, "Connection", "close")
}

// ExpectsContinue reports whether the client waits for 100 Continue, or for a final response, before it sends content.
// After some time it may send the content nevertheless. RFC 9110, section 10.1.1.
func (r *Request) ExpectsContinue() bool {
	return r.ProtoAtLeast(1, 1) && hasToken(r.Header, "Expect", "100-continue")
}

// Response is a response with its content.
//
// From a Decoder: all fields of the http.Response are as http.ReadResponse sets them; Request has the method passed to
// Expect, and nothing else. ContentLength is that of the head, -1 for chunks, for content up to the end of the stream, and
// for a response to HEAD without a length. Close is true if nothing follows on this connection. Content, Body, Header and
// Trailer are as in Request.
//
// For Append: StatusCode, Status ("" is http.StatusText's), Header, Close, Trailer and Content are used as in Request. So is
// Request, the request that is answered; it may be nil for a GET of HTTP/1.1. A response to HEAD is encoded without its
// Content, but with its length. A response to HTTP/1.0 is never chunked, and says keep-alive if the connection persists. In
// parts and without a length it ends with the connection, and KeepAlive is false.
type Response struct {
	*http.Response
	Content []byte
	Part    Part
}

// Interim reports whether another response to the same request follows: 1xx except 101. RFC 9110, section 15.2.
func (r *Response) Interim() bool {
	return r.StatusCode/100 == 1 && r.StatusCode != http.StatusSwitchingProtocols
}

// Switched reports whether HTTP ends behind the head of this response and another protocol begins: 101, or 2xx to
// CONNECT. RFC 9110, sections 7.8 and 9.3.6. A client that has not asked for an upgrade should not accept 101.
func (r *Response) Switched() bool {
	return r.StatusCode == http.StatusSwitchingProtocols ||
		r.StatusCode/100 == 2 && r.Request != nil && r.Request.Method == http.MethodConnect
}

// KeepAlive reports whether the connection carries HTTP after this response, as Append tells the client, or as the server
// told this client. RFC 9112, section 9.3.
func (r *Response) KeepAlive() bool {
	switch {
	case r.Interim():
		return true
	case r.Switched():
		return false
	}
	return !r.closes() && !hasToken(r.Header, "Connection", "close")
}

// closes reports whether either side closes the connection, other than by Header.
func (r *Response) closes() bool {
	asked := r.Request
	return r.Close || asked != nil && (asked.Close || hasToken(asked.Header, "Connection", "close")) || r.endsWithConnection()
}

// memory is a Body over bytes in memory.
type memory struct{ bytes.Reader }

func (*memory) Close() error { return nil }

// bodyOf returns a Body that reads content, in the memory of m.
func bodyOf(m *memory, content []byte) io.ReadCloser {
	if len(content) == 0 {
		return http.NoBody
	}
	m.Reset(content)
	return m
}

// hasToken reports whether a field that is a list has the token, which is in lower case. RFC 9110, section 5.6.1.
func hasToken(h http.Header, name, token string) bool {
	for _, list := range h[name] {
		if listHas(list, token) {
			return true
		}
	}
	return false
}

// merged returns the trailer with the announced and the received fields. It leaves announced as it is, because a message in
// parts was delivered with it, and another goroutine may read it.
func merged(announced, came http.Header) http.Header {
	switch {
	case announced == nil:
		return came
	case came == nil:
		return announced
	}
	both := maps.Clone(announced)
	maps.Copy(both, came)
	return both
}
