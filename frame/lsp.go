package frame

import (
	"bytes"
	"errors"
	"math"
	"strconv"
)

const (
	lspName      = "LSP"
	lspMaxHeader = 4096
	lspOverhead  = lspMaxHeader + len("\r\n\r\n")
	lspField     = "Content-Length"
)

// LSP is the base protocol of the Language Server Protocol, which the Debug Adapter Protocol shares. Its zero value is ready
// to use.
//
//	| fields                   |      | content              |
//	| Content-Length: N \r\n   | \r\n | N bytes              |
//	| and others, each by \r\n |      |                      |
//
// The message is the content, JSON as a rule, which is not looked at. One from a Decoder refers to the bytes it was decoded
// from. There must be one Content-Length, whose name may have any case; other fields, such as Content-Type, are ignored. A
// line without a colon or with a control character is ErrMalformed, and fields of more than 4096 bytes are ErrTooLarge. A
// length above the limit is ErrTooLarge as soon as the fields are received, except with SkipTooLarge. Append writes
// Content-Length only.
type LSP struct {
	// MaxContent is the size of the largest content, in bytes, in both directions. 0: 16 MiB. If it is negative, all
	// contents must be empty.
	MaxContent int

	// SkipTooLarge makes a Decoder drop content above MaxContent as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte. Without it the error follows the fields and
	// is the last.
	SkipTooLarge bool
}

var lspEnds, _ = newDelimiters("", [][]byte{[]byte("\r\n\r\n")})

func (c LSP) limit() int { return limit(c.MaxContent, defaultMaxPayload, lspOverhead) }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c LSP) NewDecoder() Decoder[[]byte] {
	format := &textHeader{codec: lspName, ends: lspEnds, length: lspLength, maxHeader: lspMaxHeader, maxBody: c.limit()}
	return skipping[[]byte](&lspDecoder{textFrame{textHeader: format}}, c.SkipTooLarge)
}

// MaxSize is MaxContent, 4096 bytes of fields, and the end of those.
func (c LSP) MaxSize() int { return lspOverhead + c.limit() }

// Append appends the frame of m to dst. A message larger than MaxContent is ErrTooLarge.
func (c LSP) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(lspName, most, "body", uint64(len(m)), uint64(most))
	}
	dst = append(dst, lspField+": "...)
	dst = strconv.AppendInt(dst, int64(len(m)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, m...), nil
}

type lspDecoder struct{ textFrame }

func (d *lspDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	_, begin, end, n, need, err := d.frame(p)
	if n == 0 {
		return nil, 0, need, err
	}
	return p[begin:end:end], n, 0, nil
}

func (d *lspDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(lspName, p)
}

var (
	errNoLength   = errors.New("there is no " + lspField)
	errTwoLengths = errors.New("there are two fields " + lspField)
)

// lspLength returns the number in the field Content-Length.
func lspLength(header []byte) (length int, err error) {
	length = -1
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		switch {
		case !found:
			return 0, malformed(lspName, 0, "the line %.100q has no colon", line)
		case bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return 0, malformed(lspName, 0, "the line %.100q has a control character in it", line)
		case !bytes.EqualFold(name, []byte(lspField)):
			continue
		case length >= 0:
			return 0, errTwoLengths
		}
		if length, err = lspNumber(bytes.Trim(value, " \t")); err != nil {
			return 0, err
		}
	}
	if length < 0 {
		return 0, errNoLength
	}
	return length, nil
}

// lspNumber returns a number of digits.
func lspNumber(digits []byte) (n int, err error) {
	if len(digits) == 0 {
		return 0, malformed(lspName, 0, "%s is empty", lspField)
	}
	for _, b := range digits {
		if b < '0' || b > '9' {
			return 0, malformed(lspName, 0, "%s is %.100q, which is no number", lspField, digits)
		}
		digit := int(b - '0')
		if n > (math.MaxInt-digit)/10 {
			return 0, malformed(lspName, 0, "%s is %.100q, which is too large a number", lspField, digits)
		}
		n = 10*n + digit
	}
	return n, nil
}
