package websocket

import "unicode/utf8"

// TextChecker checks that a text in pieces is UTF-8, for those that send or receive fragments. Its zero value is at the
// beginning of a text.
type TextChecker struct {
	tail [utf8.UTFMax]byte // tail[:n] is the beginning of a character that the last piece has cut
	n    int
}

// Add reports whether p may follow the pieces so far. last says that it ends the text. It is false at the first byte after
// which no character can be valid.
func (c *TextChecker) Add(p []byte, last bool) bool {
	p, ok := c.finish(p)
	if !ok {
		return false
	}
	if c.n == 0 {
		whole := wholeCharacters(p)
		if !utf8.Valid(p[:whole]) {
			return false
		}
		c.n = copy(c.tail[:], p[whole:])
	}
	return !last || c.n == 0
}

// finish takes as many bytes of p as the character in the tail wants, and returns the others.
func (c *TextChecker) finish(p []byte) (rest []byte, ok bool) {
	for c.n > 0 && len(p) > 0 {
		c.tail[c.n] = p[0]
		c.n++
		p = p[1:]
		if !utf8.FullRune(c.tail[:c.n]) {
			continue
		}
		if r, size := utf8.DecodeRune(c.tail[:c.n]); r == utf8.RuneError && size <= 1 {
			return nil, false
		}
		c.n = 0
	}
	return p, true
}

// wholeCharacters returns the number of bytes in front of a character that p ends within: len(p) if there is none.
func wholeCharacters(p []byte) int {
	for k := 1; k < utf8.UTFMax && k <= len(p); k++ {
		if at := len(p) - k; utf8.RuneStart(p[at]) {
			if !utf8.FullRune(p[at:]) {
				return at
			}
			break
		}
	}
	return len(p)
}
