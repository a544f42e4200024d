package http1

import "bytes"

const crlf = "\r\n"

// lines finds the lines at the front of bytes that are still being received, and searches each byte once.
type lines struct {
	next  int // offset of the next line
	seen  int // no line ends between next and this offset
	count int // number of lines found
}

// line returns the next line, without CRLF, and its offset. ok is false if the line has not ended yet. If all lines
// together exceed limit bytes, the fault is that of full.
func (l *lines) line(p []byte, limit int, full func(limit int) *fault) (line []byte, at int, ok bool, f *fault) {
	window := p[:min(len(p), limit)]
	i := bytes.IndexByte(window[l.seen:], '\n')
	if i < 0 {
		l.seen = len(window)
		if len(window) == limit {
			return nil, 0, false, full(limit)
		}
		return nil, 0, false, nil
	}
	at, end := l.next, l.seen+i
	if end == at || p[end-1] != '\r' { // RFC 9112, section 2.2: it could be taken for an end
		return nil, 0, false, malformed(end, "a line ends in LF without CR")
	}
	l.next, l.seen = end+1, end+1
	l.count++
	return p[at : end-1], at, true, nil
}

// scanField parses a field line as field does: the name ends at colon, and the value is line[from:to]. ok is false for a line
// that field refuses, and says what is wrong with.
func scanField(line []byte) (colon, from, to int, ok bool) {
	for colon < len(line) && classes[line[colon]]&tokenByte != 0 {
		colon++
	}
	if colon == 0 || colon == len(line) || line[colon] != ':' || !isValue(line[colon+1:]) {
		return 0, 0, 0, false
	}
	for from, to = colon+1, len(line); from < to && isSpace(line[from]); from++ {
	}
	for ; from < to && isSpace(line[to-1]); to-- {
	}
	return colon, from, to, true
}

// field parses a field line. RFC 9112, section 5.
func field(line []byte) (name, value []byte, f *fault) {
	if colon, from, to, ok := scanField(line); ok {
		return line[:colon], line[from:to], nil
	}
	return wrongField(line)
}

// wrongField is field for a line that scanField does not take.
func wrongField(line []byte) (name, value []byte, f *fault) {
	if isSpace(line[0]) { // RFC 9112, section 5.2
		return nil, nil, malformed(0, "a line begins with a space: folded lines are obsolete")
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return nil, nil, malformed(0, "a field line without a colon")
	}
	name = line[:colon]
	if colon == 0 {
		return nil, nil, malformed(0, "a field without a name")
	}
	if i := indexInvalid(name, tokenByte); i >= 0 {
		return nil, nil, malformed(i, "byte %#02x in the name of a field", name[i])
	}
	if i := indexInvalid(line[colon+1:], valueByte); i >= 0 {
		return nil, nil, malformed(colon+1+i, "byte %#02x in the value of %s", line[colon+1+i], name)
	}
	return name, bytes.Trim(line[colon+1:], " \t"), nil // RFC 9110, section 5.6.3
}
