package http1

import (
	"bytes"
	"net/http"
)

// chunkLine parses the line that begins a chunk, and returns the chunk's size. A size above limit is an error.
// RFC 9112, section 7.1.
func chunkLine(line []byte, limit int64) (size int64, f *fault) {
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

func hexDigit(c byte) int64 {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0')
	case c >= 'a' && c <= 'f':
		return int64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int64(c-'A') + 10
	}
	return -1
}

// chunkExtensions checks what follows the size of a chunk: *( BWS ";" BWS name [ BWS "=" BWS value ] ). No extension has a
// meaning here, but another parser might find a different end of a malformed line. RFC 9112, section 7.1.1.
func chunkExtensions(s []byte) *fault {
	whole := len(s)
	wrong := func() *fault { return malformed(whole-len(s), "a malformed chunk extension") }
	for len(s) > 0 {
		if s = trimOWS(s); len(s) == 0 || s[0] != ';' {
			return wrong()
		}
		s = trimOWS(s[1:])
		n := tokenLen(s)
		if n == 0 {
			return wrong()
		}
		s = s[n:]
		rest := trimOWS(s)
		if len(rest) == 0 || rest[0] != '=' {
			continue
		}
		s = trimOWS(rest[1:])
		if n = max(tokenLen(s), quotedLen(s)); n == 0 {
			return wrong()
		}
		s = s[n:]
	}
	return nil
}

// trimOWS returns s without leading spaces and tabs.
func trimOWS(s []byte) []byte { return bytes.TrimLeft(s, " \t") }

// tokenLen returns the length of the token at the front of s, or 0.
func tokenLen(s []byte) int {
	if i := indexInvalid(s, tokenByte); i >= 0 {
		return i
	}
	return len(s)
}

// quotedLen returns the length of the quoted string at the front of s, or 0. RFC 9110, section 5.6.4.
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

// forbiddenTrailers are fields that must not occur in a trailer, because they decide framing, routing, or how to read the
// content, before the trailer arrives. RFC 9110, section 6.5.1.
var forbiddenTrailers = []string{
	"Connection", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Host", "TE", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// trailerName checks the name of a field in a trailer, or of one that is announced.
func trailerName(name []byte) *fault {
	if !isToken(name) {
		return malformed(0, "%q is no name of a field in a trailer", name)
	}
	for _, b := range forbiddenTrailers {
		if len(b) == len(name) && bytes.EqualFold(name, []byte(b)) {
			return malformed(0, "%s in a trailer", b)
		}
	}
	return nil
}
