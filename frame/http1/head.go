package http1

import (
	"bytes"
	"net/http"
	"strconv"
)

// head has what framing depends on, parsed from the lines of a head, and where the lines of a request are.
type head struct {
	lines    lines
	skipped  bool // whether an empty line in front was skipped
	response bool
	located  bool // whether the fields of a request are noted
	minor    int  // of the version: HTTP/1.minor

	request requestHead
	status  int // response

	hosts   int   // fields of that name
	codings int   // Transfer-Encoding
	lengths int   // Content-Length
	length  int64 // its value
}

// scan parses the head at the front of p, from where it stopped. It returns how many bytes it has consumed, and whether the
// head is complete. RFC 9112, section 2.
func (h *head) scan(p []byte, limits *Limits) (used int, whole bool, f *fault) {
	for {
		line, at, ok, f := h.lines.line(p, limits.HeadBytes, h.tooLarge)
		if f != nil || !ok {
			return 0, false, f
		}
		switch first := h.lines.count == 1; {
		case first && len(line) == 0 && !h.response && !h.skipped:
			// RFC 9112, section 2.2: some clients send an empty line behind a request.
			h.skipped, h.lines = true, lines{}
			return len(crlf), false, nil
		case first:
			f = h.first(line)
		case len(line) == 0:
			return h.lines.next, true, h.end()
		case h.lines.count-1 > limits.HeadLines:
			f = tooLarge(0, http.StatusRequestHeaderFieldsTooLarge, "a head of more than %d fields", limits.HeadLines)
		default:
			f = h.field(line, at)
		}
		if f != nil {
			return 0, false, f.behind(at)
		}
	}
}

// reset prepares for the next head.
func (h *head) reset() {
	h.request.reset()
	*h = head{response: h.response, located: h.located, request: h.request}
}

func (h *head) tooLarge(limit int) *fault {
	status := http.StatusRequestHeaderFieldsTooLarge
	if h.lines.count == 0 {
		status = http.StatusRequestURITooLong
	}
	return tooLarge(limit, status, "a head of more than %d bytes", limit)
}

// first parses the first line.
func (h *head) first(line []byte) *fault {
	if h.response {
		return h.statusLine(line)
	}
	return h.requestLine(line)
}

// requestLine parses "method SP target SP version". RFC 9112, section 3.
func (h *head) requestLine(line []byte) *fault {
	r := &h.request
	at := indexOrEnd(line, ' ')
	method := line[:at]
	if !isToken(method) {
		return malformed(0, "no method")
	}
	rest := line[min(at+1, len(line)):]
	at++
	length := indexOrEnd(rest, ' ')
	target := rest[:length]
	r.connect, r.bare = string(method) == http.MethodConnect, string(method) == http.MethodHead
	if f := checkTarget(method, target); f != nil {
		return f.behind(at)
	}
	version := rest[min(length+1, len(rest)):]
	if f := h.version(version); f != nil {
		return f.behind(at + length + 1)
	}
	r.target, r.behind = int32(at), int32(at+length)
	r.plain = target[0] == '/' && !r.connect
	r.later = version[7] > '1'
	return nil
}

// indexOrEnd returns the index of c in s, or that behind s.
func indexOrEnd(s []byte, c byte) int {
	if i := bytes.IndexByte(s, c); i >= 0 {
		return i
	}
	return len(s)
}

// checkTarget checks a request target, in the form that the method requires. RFC 9112, section 3.2.
func checkTarget(method, target []byte) *fault {
	if i := indexInvalid(target, targetByte); i >= 0 {
		return malformed(i, "byte %#02x in the request target", target[i])
	}
	switch {
	case len(target) == 0:
		return malformed(0, "no request target")
	case string(method) == http.MethodConnect: // authority form
		colon := bytes.LastIndexByte(target, ':')
		if colon <= 0 || colon == len(target)-1 || !validHost(target) {
			return malformed(0, "CONNECT wants host:port as its target")
		}
	case target[0] == '/': // origin form
	case string(target) == "*": // asterisk form
		if string(method) != http.MethodOptions {
			return malformed(0, "only OPTIONS has * as its target")
		}
	case bytes.Index(target, []byte("://")) <= 0: // absolute form
		return malformed(0, "a request target that is neither a path nor a URI")
	}
	return nil
}

// version parses the version, which is 1.0, or 1.1 or a higher minor, which is processed as 1.1: RFC 9112, section 2.3;
// RFC 9110, section 2.5.
func (h *head) version(s []byte) *fault {
	if len(s) != 8 || string(s[:5]) != "HTTP/" || !isDigit(s[5]) || s[6] != '.' || !isDigit(s[7]) {
		return malformed(0, "a version that is not HTTP/ and two digits")
	}
	if s[5] != '1' {
		f := malformed(0, "a version that is not HTTP/1")
		f.status = http.StatusHTTPVersionNotSupported
		return f
	}
	h.minor = min(int(s[7]-'0'), 1)
	return nil
}

// statusLine parses "version SP status [SP reason]". RFC 9112, section 4, requires a space even without a reason, but many
// servers leave it out, and nothing depends on it.
func (h *head) statusLine(line []byte) *fault {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	if f := h.version(version); f != nil {
		return f
	}
	at := len(version) + 1
	if len(rest) < 3 || !isDigit(rest[0]) || !isDigit(rest[1]) || !isDigit(rest[2]) || rest[0] == '0' {
		return malformed(at, "no status of three digits")
	}
	if len(rest) > 3 && rest[3] != ' ' {
		return malformed(at+3, "no space behind the status")
	}
	if i := indexInvalid(rest, valueByte); i >= 0 {
		return malformed(at+i, "byte %#02x in the reason phrase", rest[i])
	}
	h.status, _ = strconv.Atoi(string(rest[:3]))
	return nil
}

// field parses the field line at an offset, and keeps what framing depends on.
func (h *head) field(line []byte, at int) *fault {
	colon, from, to, ok := scanField(line)
	if !ok {
		_, _, f := wrongField(line)
		return f
	}
	name, value := line[:colon], line[from:to]
	if h.located {
		h.request.note(name, value, span{int32(at), int32(at + colon), int32(at + from), int32(at + to)})
	}
	switch len(name) {
	case len("Host"):
		if !h.response && bytes.EqualFold(name, []byte("Host")) {
			return h.host(value)
		}
	case len("Content-Length"):
		if bytes.EqualFold(name, []byte("Content-Length")) {
			return h.contentLength(value)
		}
	case len("Transfer-Encoding"):
		if bytes.EqualFold(name, []byte("Transfer-Encoding")) {
			return h.transferEncoding(value)
		}
	}
	return nil
}

// host parses Host. RFC 9112, section 3.2.
func (h *head) host(value []byte) *fault {
	if h.hosts++; h.hosts > 1 {
		return malformed(0, "Host is given twice")
	}
	if !validHost(value) {
		return malformed(0, "Host is not a host with or without a port")
	}
	return nil
}

// contentLength parses Content-Length. RFC 9110, section 8.6, permits to accept or to refuse a list of equal lengths; it is
// refused.
func (h *head) contentLength(value []byte) *fault {
	if h.lengths++; h.lengths > 1 {
		return malformed(0, "Content-Length is given twice")
	}
	for _, c := range value {
		if !isDigit(c) {
			return malformed(0, "Content-Length is not a number")
		}
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return malformed(0, "Content-Length is empty, or more than 63 bits hold")
	}
	h.length = n
	return nil
}

// transferEncoding parses Transfer-Encoding. RFC 9112, section 6.1: chunked occurs once, and last. This package would have to
// decode other codings in front of it, and supports none.
func (h *head) transferEncoding(value []byte) *fault {
	if h.codings++; h.codings > 1 {
		return malformed(0, "Transfer-Encoding is given twice")
	}
	if !sameFold(value, "chunked") {
		f := malformed(0, "a Transfer-Encoding that is not chunked alone")
		f.status = http.StatusNotImplemented
		return f
	}
	return nil
}

// end checks the head as a whole. RFC 9112, sections 3.2, 6.1 and 6.3.
func (h *head) end() *fault {
	switch {
	case h.codings > 0 && h.minor == 0:
		return malformed(0, "Transfer-Encoding in HTTP/1.0")
	case h.codings > 0 && h.lengths > 0:
		return malformed(0, "both Content-Length and Transfer-Encoding")
	case !h.response && h.minor > 0 && h.hosts == 0:
		return malformed(0, "HTTP/1.1 without Host")
	case h.request.connect && (h.codings > 0 || h.length > 0): // RFC 9110, section 9.3.6
		return malformed(0, "CONNECT with content")
	}
	return nil
}

// framesNothing reports whether a response that has no content announces some. It ends with its head all the same: RFC
// 9112, section 6.3, the first case.
func (h *head) framesNothing() bool {
	return (h.status < 200 || h.status == http.StatusNoContent) && (h.codings > 0 || h.length > 0)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
