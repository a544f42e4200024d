package http1

import (
	"bytes"
	"net/http"
)

// chunkLine reads the line that begins a chunk, and returns the chunk's size. It does not return a size above limit.
// RFC 9112, section 7.1.
func chunkLine(line []byte, limit int) (size int, f *fault) {
	digits := 0
	for ; digits < len(line); digits++ {
		d := hexDigit(line[digits])
		if d < 0 {
			break
		}
		if digits == 16 {
			return 0, malformed(digits, "a chunk size of more than 16 digits")
		}
		if size > (limit-d)>>4 { // size*16+d > limit
			return 0, tooLarge(0, http.StatusRequestEntityTooLarge, "a chunk exceeds what is left of the limit of content: %d bytes", limit)
		}
		size = size<<4 | d
	}
	if digits == 0 {
		return 0, malformed(0, "no chunk size")
	}
	return size, chunkExtensions(line[digits:]).behind(digits)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// chunkExtensions looks at what is behind the size of a chunk: *( BWS ";" BWS name [ BWS "=" BWS value ] ). None has a
// meaning here, but who reads them in another way might find another end of the line. RFC 9112, section 7.1.1.
func chunkExtensions(s []byte) *fault {
	whole := len(s)
	wrong := func() *fault { return malformed(whole-len(s), "a malformed chunk extension") }
	for len(s) > 0 {
		if s = blank(s); len(s) == 0 || s[0] != ';' {
			return wrong()
		}
		s = blank(s[1:])
		n := tokenLen(s)
		if n == 0 {
			return wrong()
		}
		s = s[n:]
		rest := blank(s)
		if len(rest) == 0 || rest[0] != '=' {
			continue
		}
		s = blank(rest[1:])
		if n = max(tokenLen(s), quotedLen(s)); n == 0 {
			return wrong()
		}
		s = s[n:]
	}
	return nil
}

// blank returns s without spaces and tabs in front.
func blank(s []byte) []byte { return bytes.TrimLeft(s, " \t") }

// tokenLen is the length of the token at the front of s, or 0.
func tokenLen(s []byte) int {
	if i := stray(s, tokenByte); i >= 0 {
		return i
	}
	return len(s)
}

// quotedLen is the length of the quoted string at the front of s, or 0. RFC 9110, section 5.6.4.
func quotedLen(s []byte) int {
	if len(s) == 0 || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1
		case s[i] == '\\':
			if i++; i == len(s) || classes[s[i]]&valueByte == 0 {
				return 0
			}
		case classes[s[i]]&quotedByte == 0:
			return 0
		}
	}
	return 0
}

// barred are fields that a trailer may not have, because something has been decided by them before it comes: framing,
// routing, how to read the content. RFC 9110, section 6.5.1.
var barred = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Host", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// trailerName looks at the name of a field in a trailer, or of one that is announced.
func trailerName(name []byte) *fault {
	if !isToken(name) {
		return malformed(0, "%q is no name of a field in a trailer", name)
	}
	for _, b := range barred {
		if len(b) == len(name) && bytes.EqualFold(name, []byte(b)) {
			return malformed(0, "%s in a trailer", b)
		}
	}
	return nil
}
