package http1

import (
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Append implements frame.Codec.
func (c Requests) Append(dst []byte, m *Request) ([]byte, error) {
	limits := c.Limits.resolved()
	longer, f := appendRequest(dst, m, &limits)
	if f != nil {
		return dst, f.as(requestCodec)
	}
	return longer, nil
}

func appendRequest(dst []byte, m *Request, limits *Limits) ([]byte, *fault) {
	start := len(dst)
	if m == nil || m.Request == nil {
		return dst, malformed(0, "no request")
	}
	if f := checkBody(m.Body); f != nil {
		return dst, f
	}
	host, f := hostOf(m.Request)
	if f != nil {
		return dst, f
	}
	var space [8]fieldOf
	o := outgoing{host: host, fields: sortedFields(space[:0], m.Header), content: m.Content, trailer: m.Trailer, part: m.Part}
	if f := o.frameRequest(m); f != nil {
		return dst, f
	}
	if !m.Part.Begins() {
		return o.appendPart(dst, m.Part == Last, limits)
	}
	if dst, f = appendRequestLine(dst, m.Request, host); f != nil {
		return dst, f
	}
	old := isOld(m.ProtoMajor, m.ProtoMinor)
	if host != "" || !old {
		dst = append(append(append(dst, "Host: "...), host...), crlf...)
	}
	o.connection = connection(m.Header, m.Close, old, old)
	return o.appendTo(dst, start, limits)
}

// appendRequestLine is RFC 9112, section 3.
func appendRequestLine(dst []byte, r *http.Request, host string) ([]byte, *fault) {
	method := methodOf(r)
	if !isToken(method) {
		return dst, malformed(0, "%q is no method", method)
	}
	target := r.RequestURI
	switch {
	case target != "":
	case method == http.MethodConnect:
		target = host
	case r.URL == nil:
		return dst, malformed(0, "neither URL nor RequestURI")
	default:
		target = r.URL.RequestURI()
	}
	if f := checkTarget([]byte(method), []byte(target)); f != nil {
		return dst, f
	}
	if !soundTarget(method, target) {
		return dst, malformed(0, "%q is no request target", target)
	}
	version := " HTTP/1.1\r\n"
	if isOld(r.ProtoMajor, r.ProtoMinor) {
		version = " HTTP/1.0\r\n"
	}
	dst = append(append(append(dst, method...), ' '), target...)
	return append(dst, version...), nil
}

// soundTarget reports whether a decoder, which parses targets with net/http, would accept the target.
func soundTarget(method, target string) bool {
	if target[0] == '/' && strings.IndexByte(target, '%') < 0 {
		return true // no escape that could be invalid
	}
	if method == http.MethodConnect && target[0] != '/' {
		target = "http://" + target
	}
	u, err := url.ParseRequestURI(target)
	return err == nil && soundURL(u)
}

// frameRequest decides how the end of the message is marked. RFC 9112, section 6.
func (o *outgoing) frameRequest(m *Request) (f *fault) {
	asked, f := lengthIn(o.fields)
	if f != nil {
		return f
	}
	if o.chunked, f = asksForChunks(m.TransferEncoding, m.Trailer); f != nil {
		return f
	}
	old := isOld(m.ProtoMajor, m.ProtoMinor)
	if m.Part != Whole {
		return o.frameRequestParts(m, asked, old)
	}
	if o.chunked && old {
		return malformed(0, "chunks or a trailer in HTTP/1.0")
	}
	if m.ContentLength < 0 && !old {
		o.chunked = true
	}
	if m.ContentLength > 0 && m.ContentLength != int64(len(m.Content)) {
		return malformed(0, "ContentLength is %d, but there are %d bytes of Content", m.ContentLength, len(m.Content))
	}
	o.length = -1
	if !o.chunked && (len(m.Content) > 0 || asked >= 0 || m.ContentLength < 0 || impliesContent(methodOf(m.Request))) {
		o.length = int64(len(m.Content))
	}
	return nil
}

// frameRequestParts is frameRequest for content in parts.
func (o *outgoing) frameRequestParts(m *Request, asked int64, old bool) *fault {
	how, f := frameParts(m.ContentLength, asked, o.chunked, old)
	switch {
	case f != nil:
		return f
	case old && how.length < 0:
		return malformed(0, "content of unknown length in a request of HTTP/1.0")
	}
	o.length, o.chunked = how.length, how.chunked
	return nil
}

// impliesContent reports whether servers expect content with a method, so that a length of 0 says there is none.
// RFC 9110, section 8.6.
func impliesContent(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// hostOf returns the value of Host: with the port, and without the zone of an IPv6 address, which means something on this
// machine only. RFC 9110, section 7.2; RFC 6874, section 4.
func hostOf(r *http.Request) (string, *fault) {
	host := r.Host
	if host == "" && r.URL != nil {
		host = r.URL.Host
	}
	if zone := strings.IndexByte(host, '%'); zone > 0 && host[0] == '[' {
		end := strings.IndexByte(host, ']')
		if end < zone {
			return "", malformed(0, "%q is no host", host)
		}
		host = host[:zone] + host[end:]
	}
	if !validHost(host) {
		return "", malformed(0, "%q is no host with or without a port; names beyond ASCII have to be in Punycode", host)
	}
	if host == "" && r.RequestURI == "" && !isOld(r.ProtoMajor, r.ProtoMinor) {
		return "", malformed(0, "neither Host nor URL.Host")
	}
	return host, nil
}

func methodOf(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// isOld reports whether a version is HTTP/1.0. All others are written as HTTP/1.1.
func isOld(major, minor int) bool { return major == 1 && minor == 0 }

// checkBody refuses content that is not in Content.
func checkBody(body io.ReadCloser) *fault {
	if body == nil || body == http.NoBody {
		return nil
	}
	if _, ours := body.(*memory); ours {
		return nil
	}
	return malformed(0, "Body would have to be read: put its bytes in Content")
}

// connection returns the value of a further Connection field, "" for none. Without one, the connection persists in HTTP/1.1
// and closes in HTTP/1.0. RFC 9112, section 9.3.
func connection(header http.Header, closes, old, oldPeer bool) string {
	const end, stay = "close", "keep-alive"
	switch saysEnd, saysStay := hasToken(header, "Connection", end), hasToken(header, "Connection", stay); {
	case closes && !saysEnd && (!old || saysStay):
		return end
	case !closes && oldPeer && !saysEnd && !saysStay:
		return stay
	}
	return ""
}
