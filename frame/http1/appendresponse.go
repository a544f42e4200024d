package http1

import (
	"net/http"
	"strings"
)

// Append implements frame.Codec.
func (c Responses) Append(dst []byte, m *Response) ([]byte, error) {
	limits := c.Limits.resolved()
	longer, f := appendResponse(dst, m, &limits)
	if f != nil {
		return dst, f.as(responseCodec)
	}
	return longer, nil
}

func appendResponse(dst []byte, m *Response, limits *Limits) ([]byte, *fault) {
	start := len(dst)
	if m == nil || m.Response == nil {
		return dst, malformed(0, "no response")
	}
	if f := checkBody(m.Body); f != nil {
		return dst, f
	}
	var space [8]fieldOf
	o := outgoing{response: true, fields: sortedFields(space[:0], m.Header), trailer: m.Trailer, part: m.Part}
	if f := o.frameResponse(m); f != nil {
		return dst, f
	}
	if !m.Part.Begins() {
		return o.appendPart(dst, m.Part == Last, limits)
	}
	dst, f := appendStatusLine(dst, m.Response)
	if f != nil {
		return dst, f
	}
	if !m.Interim() && !m.Switched() {
		old := isOld(m.ProtoMajor, m.ProtoMinor)
		o.connection = connection(m.Header, m.closes(), old, old || toOld(m.Response))
	}
	return o.appendTo(dst, start, limits)
}

// appendStatusLine is RFC 9112, section 4.
func appendStatusLine(dst []byte, r *http.Response) ([]byte, *fault) {
	if r.StatusCode < 100 || r.StatusCode > 999 {
		return dst, malformed(0, "%d is no status", r.StatusCode)
	}
	version := "HTTP/1.1 "
	if isOld(r.ProtoMajor, r.ProtoMinor) {
		version = "HTTP/1.0 "
	}
	dst = append(dst, version...)
	before := len(dst)
	dst = append(appendDigits(dst, r.StatusCode), ' ')
	reason := http.StatusText(r.StatusCode)
	if r.Status != "" {
		reason = strings.TrimPrefix(r.Status, string(dst[before:len(dst)-1]))
		reason = strings.Trim(reason, " ")
	}
	before = len(dst)
	if dst = append(dst, reason...); !isValue(dst[before:]) {
		return dst, malformed(0, "byte %#02x in the reason phrase", reason[indexInvalid(reason, valueByte)])
	}
	return append(dst, crlf...), nil
}

// appendDigits appends a number of three digits.
func appendDigits(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
}

// toOld reports whether a response answers a request of HTTP/1.0.
func toOld(r *http.Response) bool {
	return r.Request != nil && isOld(r.Request.ProtoMajor, r.Request.ProtoMinor)
}

// frameResponse decides how the end of the message is marked. RFC 9112, section 6.
func (o *outgoing) frameResponse(m *Response) (f *fault) {
	asked, f := lengthIn(o.fields)
	if f != nil {
		return f
	}
	if o.chunked, f = asksForChunks(m.TransferEncoding, m.Trailer); f != nil {
		return f
	}
	old := isOld(m.ProtoMajor, m.ProtoMinor) || toOld(m.Response)
	if old && m.StatusCode/100 == 1 {
		return malformed(0, "a response 1xx in HTTP/1.0")
	}
	if o.chunked && old {
		return malformed(0, "chunks or a trailer in HTTP/1.0")
	}
	if m.Part != Whole {
		return o.frameResponseParts(m, asked, old)
	}
	length := int64(len(m.Content))
	if m.ContentLength > 0 && length > 0 && m.ContentLength != length {
		return malformed(0, "ContentLength is %d, but there are %d bytes of Content", m.ContentLength, length)
	}
	if !hasContent(m.Response) {
		return o.frameBare(m, asked)
	}
	if m.ContentLength > 0 && length == 0 {
		return malformed(0, "ContentLength is %d, but there is no Content", m.ContentLength)
	}
	if m.ContentLength < 0 && !old {
		o.chunked = true
	}
	o.content, o.length = m.Content, length
	if o.chunked {
		o.length = -1
	}
	return nil
}

// frameResponseParts is frameResponse for content in parts.
func (o *outgoing) frameResponseParts(m *Response, asked int64, old bool) *fault {
	if !hasContent(m.Response) {
		head := *m
		if m.Request != nil && m.Request.Method == http.MethodHead {
			head.Content = nil // of the response to GET
			if asked < 0 && m.ContentLength == 0 {
				head.ContentLength = -1
			}
		}
		return o.frameBare(&head, asked)
	}
	how, f := frameParts(m.ContentLength, asked, o.chunked, old)
	if f != nil {
		return f
	}
	o.content, o.length, o.chunked = m.Content, how.length, how.chunked
	return nil
}

// frameBare is frameResponse for responses that end with their head. Responses to HEAD, and 304, have the length that the
// content would have; asked is that of Header, or -1. RFC 9110, section 8.6.
func (o *outgoing) frameBare(m *Response, asked int64) *fault {
	o.bare, o.length = true, -1
	head := m.Request != nil && m.Request.Method == http.MethodHead && m.StatusCode >= 200 && m.StatusCode != http.StatusNoContent
	switch {
	case len(m.Content) > 0 && (!head || m.StatusCode == http.StatusNotModified):
		return malformed(0, "a response %d with Content", m.StatusCode)
	case !head && m.StatusCode != http.StatusNotModified:
		if o.chunked || m.ContentLength > 0 {
			return malformed(0, "a response %d with a length of content", m.StatusCode)
		}
	case o.chunked:
	case len(m.Content) > 0:
		o.length = int64(len(m.Content))
	case m.ContentLength > 0:
		o.length = m.ContentLength
	case asked >= 0:
		o.length = asked
	case head && m.ContentLength == 0 && m.StatusCode != http.StatusNotModified:
		o.length = 0
	}
	return nil
}
