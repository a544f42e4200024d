package http1

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// outgoing is a message that is being encoded, without its first line.
type outgoing struct {
	response   bool
	bare       bool // nothing follows the head, whatever its fields say
	part       Part
	host       string    // requests
	fields     []fieldOf // of Header, in the order of their names
	lines      int       // no fewer than are written
	connection string    // a Connection field of its own; "": none
	length     int64     // Content-Length; -1: none
	chunked    bool
	content    []byte
	trailer    http.Header
}

// appendFields appends the fields and the empty line that follow the first line. Fields for routing and framing come first,
// the others in the order of their names.
func (o *outgoing) appendFields(dst []byte) ([]byte, *fault) {
	if o.length >= 0 {
		dst = append(dst, "Content-Length: "...)
		dst = append(strconv.AppendInt(dst, o.length, 10), crlf...)
	}
	if o.chunked {
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if o.connection != "" {
		dst = append(append(append(dst, "Connection: "...), o.connection...), crlf...)
	}
	o.lines = 4 // length, coding, connection, trailer
	var space [16]string
	for i, name := range sortedNames(space[:0], o.trailer) {
		if f := trailerName([]byte(name)); f != nil {
			return dst, f
		}
		if i == 0 {
			dst = append(dst, "Trailer: "...)
		} else {
			dst = append(dst, ", "...)
		}
		dst = append(dst, name...)
	}
	if len(o.trailer) > 0 {
		dst = append(dst, crlf...)
	}
	for i := range o.fields {
		field := &o.fields[i]
		o.lines += len(field.values)
		written, f := o.covered(field.name, field.values)
		if f != nil {
			return dst, f
		}
		if written {
			continue
		}
		if dst, f = appendField(dst, field.name, field.values); f != nil {
			return dst, f
		}
	}
	return append(dst, crlf...), nil
}

// covered reports whether a field of Header was written already, because it belongs to framing or routing. A value that
// contradicts what was written is an error.
func (o *outgoing) covered(name string, values []string) (bool, *fault) {
	fits := func(string) bool { return false }
	switch len(name) {
	default:
		return false, nil
	case len("Content-Length"):
		if !strings.EqualFold(name, "Content-Length") {
			return false, nil
		}
		fits = o.fitsLength
	case len("Transfer-Encoding"):
		if !strings.EqualFold(name, "Transfer-Encoding") {
			return false, nil
		}
		fits = func(value string) bool { return o.chunked && value == "chunked" }
	case len("Host"):
		if o.response || o.host == "" || !strings.EqualFold(name, "Host") {
			return false, nil
		}
		fits = func(value string) bool { return value == o.host }
	case len("Trailer"):
		if !o.chunked || !strings.EqualFold(name, "Trailer") {
			return false, nil
		}
	}
	for _, value := range values {
		if !fits(value) {
			return false, malformed(0, "Header has %s: %q, which the rest of the message contradicts", name, value)
		}
	}
	return true, nil
}

// fitsLength reports whether value agrees with the Content-Length of the message; 0 agrees with none.
func (o *outgoing) fitsLength(value string) bool {
	n, err := strconv.ParseInt(strings.Trim(value, " \t"), 10, 64)
	return err == nil && !o.chunked && n == max(o.length, 0)
}

// appendField appends a line for each value, after checking that no name or value can end a line. RFC 9110, section 5.
func appendField(dst []byte, name string, values []string) ([]byte, *fault) {
	if !isToken(name) {
		return dst, malformed(0, "%q is no name of a field", name)
	}
	var f *fault
	for _, value := range values {
		if dst, f = appendValue(dst, name, value); f != nil {
			return dst, f
		}
	}
	return dst, nil
}

// appendLine is appendField for one value.
func appendLine(dst []byte, name, value string) ([]byte, *fault) {
	if !isToken(name) {
		return dst, malformed(0, "%q is no name of a field", name)
	}
	return appendValue(dst, name, value)
}

// appendValue is appendField for a name that was checked.
func appendValue(dst []byte, name, value string) ([]byte, *fault) {
	dst = append(append(dst, name...), ": "...)
	before := len(dst)
	dst = append(dst, trimmed(value)...)
	if !isValue(dst[before:]) {
		return dst, malformed(0, "byte %#02x in a value of %s", value[indexInvalid(value, valueByte)], name)
	}
	return append(dst, crlf...), nil
}

// trimmed returns s without spaces and tabs around it.
func trimmed(s string) string {
	if len(s) > 0 && (isSpace(s[0]) || isSpace(s[len(s)-1])) {
		return strings.Trim(s, " \t")
	}
	return s
}

// fieldOf is a field of an http.Header.
type fieldOf struct {
	name   string
	values []string
}

// sortedFields appends the fields of h, in the order of their names, to fields.
func sortedFields(fields []fieldOf, h http.Header) []fieldOf {
	for name, values := range h {
		fields = append(fields, fieldOf{name, values})
	}
	if len(fields) > 12 {
		slices.SortFunc(fields, func(a, b fieldOf) int { return strings.Compare(a.name, b.name) })
		return fields
	}
	for i := 1; i < len(fields); i++ {
		for k := i; k > 0 && fields[k].name < fields[k-1].name; k-- {
			fields[k], fields[k-1] = fields[k-1], fields[k]
		}
	}
	return fields
}

// sortedNames appends the names of the fields of h, in order, to names.
func sortedNames(names []string, h http.Header) []string {
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// appendContent appends the part that follows the head.
func (o *outgoing) appendContent(dst []byte, limits *Limits) ([]byte, *fault) {
	if o.bare {
		return dst, nil
	}
	if len(o.content) > limits.BodyBytes {
		return dst, tooLarge(0, 0, "content of %d bytes, and the limit is %d", len(o.content), limits.BodyBytes)
	}
	if !o.chunked {
		return append(dst, o.content...), nil
	}
	dst, f := o.appendChunk(dst, limits)
	if f != nil {
		return dst, f
	}
	return o.appendTrailer(append(dst, "0\r\n"...), limits)
}

// appendChunk appends the content as one chunk. Empty content is none, because an empty chunk is the last.
func (o *outgoing) appendChunk(dst []byte, limits *Limits) ([]byte, *fault) {
	if len(o.content) == 0 {
		return dst, nil
	}
	before := len(dst)
	dst = append(strconv.AppendInt(dst, int64(len(o.content)), 16), crlf...)
	if len(dst)-before > limits.ChunkLineBytes {
		return dst, tooLarge(0, 0, "a chunk's line of more than %d bytes", limits.ChunkLineBytes)
	}
	return append(append(dst, o.content...), crlf...), nil
}

func (o *outgoing) appendTrailer(dst []byte, limits *Limits) ([]byte, *fault) {
	before, lines := len(dst), 0
	var space [16]string
	for _, name := range sortedNames(space[:0], o.trailer) {
		var f *fault
		if dst, f = appendField(dst, name, o.trailer[name]); f != nil {
			return dst, f
		}
		lines += len(o.trailer[name])
	}
	dst = append(dst, crlf...)
	if size := len(dst) - before; size > limits.TrailerBytes || lines > limits.HeadLines {
		return dst, tooLarge(0, 0, "a trailer of %d bytes and %d fields, and the limits are %d and %d", size, lines,
			limits.TrailerBytes, limits.HeadLines)
	}
	return dst, nil
}

// appendTo appends the rest of the message whose first line begins at start.
func (o *outgoing) appendTo(dst []byte, start int, limits *Limits) ([]byte, *fault) {
	dst, f := o.appendFields(dst)
	if f != nil {
		return dst, f
	}
	if o.response && !o.chunked && o.lines <= limits.HeadLines && len(dst)-start <= limits.HeadBytes {
		return o.appendBehind(dst, limits) // its status, its names and its values were checked, and there is one length at most
	}
	// The head is checked like that of a peer, so that this package encodes nothing that it would refuse.
	h := head{response: o.response}
	if _, _, f := h.scan(dst[start:], limits); f != nil {
		return dst, f
	}
	return o.appendBehind(dst, limits)
}

// appendBehind appends what follows a head.
func (o *outgoing) appendBehind(dst []byte, limits *Limits) ([]byte, *fault) {
	if o.part == First {
		return o.appendPart(dst, false, limits)
	}
	return o.appendContent(dst, limits)
}

// lengthIn returns the Content-Length in fields, or -1.
func lengthIn(fields []fieldOf) (int64, *fault) {
	var h head
	for i := range fields {
		name := fields[i].name
		if len(name) != len("Content-Length") || !strings.EqualFold(name, "Content-Length") {
			continue
		}
		for _, value := range fields[i].values {
			if f := h.contentLength([]byte(value)); f != nil {
				return 0, f
			}
		}
	}
	if h.lengths == 0 {
		return -1, nil
	}
	return h.length, nil
}

// asksForChunks reports whether a message has to be chunked whatever its length.
func asksForChunks(codings []string, trailer http.Header) (bool, *fault) {
	switch {
	case len(codings) == 0:
		return len(trailer) > 0, nil
	case len(codings) == 1 && codings[0] == "chunked":
		return true, nil
	}
	return false, malformed(0, "a TransferEncoding that is not chunked alone")
}
