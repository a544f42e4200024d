package frame

import "bytes"

const (
	lineName = "Line"

	// defaultMaxToken is the default limit of a message that ends at a delimiter, in bytes: that of bufio.Scanner.
	defaultMaxToken = 64 << 10
)

// Line is the format of lines of text. Its zero value is ready to use.
//
//	| line              | end        |
//	| bytes without \n  | \n or \r\n |
//
// The message is the line without its end, as bufio.ScanLines returns it: one \r before the \n belongs to the end, any
// other is a part of the line. Lines may be empty. Bytes behind the last \n are a last line, again without one \r at its
// end, unless there are none. A message from a Decoder refers to the bytes it was decoded from. Each byte is searched once
// for \n, however many calls a line takes.
type Line struct {
	// MaxLine is the size of the longest line without its end, in bytes, in both directions. 0: 64 KiB. If it is
	// negative, all lines must be empty. A longer line is ErrTooLarge as soon as more than MaxLine bytes are received.
	MaxLine int

	// CRLF makes Append end lines with \r\n. Without it, only a line that itself ends with \r is ended so, because its \r
	// would otherwise be taken for a part of the end. A Decoder accepts both.
	CRLF bool
}

func (c Line) limit() int { return limit(c.MaxLine, defaultMaxToken, len("\r\n")) }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Line) NewDecoder() Decoder[[]byte] { return &lineDecoder{most: c.limit()} }

// MaxSize is MaxLine and the two bytes of \r\n.
func (c Line) MaxSize() int { return c.limit() + len("\r\n") }

// Append appends m and its end to dst. A message that contains \n is ErrMalformed, one longer than MaxLine ErrTooLarge.
func (c Line) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(lineName, most, "line", uint64(len(m)), uint64(most))
	}
	if i := bytes.IndexByte(m, '\n'); i >= 0 {
		return dst, malformed(lineName, i, `a line has \n in it`)
	}
	dst = append(dst, m...)
	if c.CRLF || len(withoutCR(m)) < len(m) {
		dst = append(dst, '\r')
	}
	return append(dst, '\n'), nil
}

type lineDecoder struct {
	most    int
	scanned int // bytes at the front that have no \n
}

func (d *lineDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	window := p[:min(len(p), d.most+len("\r\n"))]
	i := bytes.IndexByte(window[d.scanned:], '\n')
	if i < 0 {
		d.scanned = len(window)
		if len(withoutCR(window)) > d.most {
			return nil, 0, 0, d.tooLong()
		}
		return nil, 0, 1, nil
	}
	end := d.scanned + i
	d.scanned = 0
	m = withoutCR(p[:end:end])
	if len(m) > d.most {
		return nil, 0, 0, d.tooLong()
	}
	return m, end + 1, 0, nil
}

func (d *lineDecoder) tooLong() error { return tooMany(lineName, d.most, "line", d.most) }

func (d *lineDecoder) End(p []byte) ([]byte, bool, error) {
	if len(p) == 0 {
		return nil, false, nil
	}
	return withoutCR(p[:len(p):len(p)]), true, nil
}

// withoutCR returns p without a \r at its end.
func withoutCR(p []byte) []byte {
	if last := len(p) - 1; last >= 0 && p[last] == '\r' {
		return p[:last:last]
	}
	return p
}
