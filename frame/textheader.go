package frame

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// TextHeaderOptions describe a format with a header of text that tells the size of a body.
//
//	| header                   | end              | body                    | trailer |
//	| bytes without an end     | one of Ends      | as many bytes as the    | Trailer |
//	|                          |                  | header tells Length     |         |
//
// The base protocol of LSP is the default of Ends, with "Content-Length" in the header. NATS and memcached end a header with
// "\r\n", and a body with Trailer "\r\n". STOMP is Ends "\n\n" and "\n\r\n", and Trailer "\x00", with bodies UntilTrailer
// where the header has no content-length.
type TextHeaderOptions struct {
	// Ends are the sequences that end a header, as the Delimiters of DelimiterOptions. Nil: "\r\n\r\n".
	Ends [][]byte

	// Length returns the size of the body, in bytes, or NoBody, or UntilTrailer. It gets the header without its end. An
	// error makes the message invalid: one that is an *Error, whose Offset then counts from the beginning of the header,
	// as it is, one that is ErrTooLarge as such, and any other as ErrMalformed.
	//
	// Length must be set. It is called in Decode, once for each message, and in Append, on any goroutine. It must return the
	// same for the same header, and neither keep nor change it. strconv.Atoi takes signs: -1 would be NoBody.
	Length func(header []byte) (int, error)

	// Trailer is what follows each body, also an empty one, but not NoBody. A message does not have it.
	Trailer []byte

	// MaxHeader is the size of the largest header without its end, in bytes, in both directions. 0: 64 KiB.
	MaxHeader int

	// MaxBody is the size of the largest body, in bytes, in both directions. 0: 16 MiB.
	MaxBody int

	// SkipTooLarge makes a Decoder drop a message whose header tells a size above MaxBody as it comes, without memory, and
	// go on behind it. The error, which is ErrTooLarge, has Skipped set, and follows the last byte; the trailer is not
	// checked. Without it the error follows the header and is the last.
	SkipTooLarge bool
}

// What TextHeaderOptions.Length may return in place of a size.
const (
	NoBody       = -1 // the message ends with its header; there is no trailer
	UntilTrailer = -2 // the body ends at the first trailer
)

const textHeaderName = "TextHeader"

// textHeader is the format of NewTextHeader.
type textHeader struct {
	codec     string
	ends      *delimiters
	trailer   *delimiters // nil if a body has no trailer
	tail      int         // size of the trailer
	length    func(header []byte) (int, error)
	maxHeader int
	maxBody   int
	skip      bool
}

// NewTextHeader returns the Codec of the format that o describes. An option that it cannot honour is an error that names
// the field.
//
// Header and Body of a message are without end and trailer. One without a body has a Body that is nil, and one with an empty
// body one that is not. A header is ErrTooLarge, at the latest when MaxHeader bytes and those of the longest end have been
// received, and a body above MaxBody as soon as its size is known, except with SkipTooLarge. Bytes in place of the trailer
// are ErrMalformed.
//
// Append writes the first of Ends. A header in which an end is found earlier is ErrMalformed, and so is one that tells
// another size than that of the body, and a body UntilTrailer that has a trailer in it.
func NewTextHeader(o TextHeaderOptions) (Codec[Message], error) {
	if o.Ends == nil {
		o.Ends = [][]byte{[]byte("\r\n\r\n")}
	}
	switch {
	case o.Length == nil:
		return nil, errors.New("frame: TextHeaderOptions.Length is nil, but must be set")
	case o.MaxHeader < 0:
		return nil, fmt.Errorf("frame: TextHeaderOptions.MaxHeader is %d, but must not be negative", o.MaxHeader)
	case o.MaxBody < 0:
		return nil, fmt.Errorf("frame: TextHeaderOptions.MaxBody is %d, but must not be negative", o.MaxBody)
	}
	ends, err := newDelimiters("TextHeaderOptions.Ends", o.Ends)
	if err != nil {
		return nil, err
	}
	c := &textHeader{codec: textHeaderName, ends: ends, length: o.Length, skip: o.SkipTooLarge}
	if len(o.Trailer) > 0 {
		c.trailer, _ = newDelimiters("", [][]byte{o.Trailer}) // one that is not empty can be found
		c.tail = len(o.Trailer)
	}
	c.maxHeader = min(limit(o.MaxHeader, defaultMaxToken, 0), math.MaxInt/2-len(ends.longest[0]))
	c.maxBody = min(limit(o.MaxBody, defaultMaxPayload, 0), math.MaxInt/2-len(o.Trailer))
	return c, nil
}

func (c *textHeader) MaxSize() int {
	return c.maxHeader + len(c.ends.longest[0]) + c.maxBody + c.tail
}

func (c *textHeader) NewDecoder() Decoder[Message] {
	return skipping[Message](&textDecoder{textFrame{textHeader: c}}, c.skip)
}

func (c *textHeader) Append(dst []byte, m Message) ([]byte, error) {
	if len(m.Header) > c.maxHeader {
		return dst, tooLarge(c.codec, c.maxHeader, "header", uint64(len(m.Header)), uint64(c.maxHeader))
	}
	out := append(append(dst, m.Header...), c.ends.given[0]...)
	whole := out[len(dst):]
	if end, size := c.ends.find(whole, 0); end < len(whole) || size > len(c.ends.given[0]) {
		return dst, malformed(c.codec, end-size, "a header has its end in it, or makes another one with it")
	}
	said, err := c.bodySize(m.Header)
	switch {
	case err != nil:
		return dst, err
	case len(m.Body) > c.maxBody:
		return dst, tooLarge(c.codec, len(m.Header)+c.maxBody, "body", uint64(len(m.Body)), uint64(c.maxBody))
	case said == NoBody && len(m.Body) == 0:
		return out, nil
	case said != UntilTrailer && max(0, said) != len(m.Body):
		return dst, malformed(c.codec, len(m.Header), "the header tells a body of %d bytes, but it has %d", max(0, said), len(m.Body))
	}
	front := len(out)
	out = append(out, m.Body...)
	if c.tail == 0 {
		return out, nil
	}
	out = append(out, c.trailer.given[0]...)
	if said != UntilTrailer {
		return out, nil
	}
	if end, size := c.trailer.find(out[front:], 0); front+end < len(out) {
		return dst, malformed(c.codec, len(m.Header)+end-size, "a body that a trailer ends has that in it, or makes another one with it")
	}
	return out, nil
}

// bodySize returns what the header tells.
func (c *textHeader) bodySize(header []byte) (int, error) {
	size, err := c.length(header)
	switch {
	case err != nil:
		return 0, c.wrongHeader(err, header)
	case size == UntilTrailer && c.tail == 0:
		return 0, malformed(c.codec, 0, "the header tells a body until the trailer, but there is none")
	case size < UntilTrailer:
		return 0, malformed(c.codec, 0, "the header tells a body of %d bytes", size)
	}
	return size, nil
}

// wrongHeader returns the error for a header that Length has refused.
func (c *textHeader) wrongHeader(err error, header []byte) error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return &Error{Codec: c.codec, Offset: max(0, min(e.Offset, int64(len(header)))), What: e.What, Err: e.Err}
	case errors.Is(err, ErrTooLarge):
		return &Error{Codec: c.codec, What: err.Error(), Err: ErrTooLarge}
	}
	return malformed(c.codec, 0, "%v", err)
}

type textDecoder struct{ textFrame }

func (d *textDecoder) Decode(p []byte) (m Message, n, need int, err error) {
	header, begin, end, n, need, err := d.frame(p)
	switch {
	case n == 0:
		return Message{}, 0, need, err
	case begin > end:
		return Message{Header: p[:header:header]}, n, 0, nil
	}
	return Message{Header: p[:header:header], Body: p[begin:end:end]}, n, 0, nil
}

func (d *textDecoder) End(p []byte) (Message, bool, error) {
	return Message{}, false, unfinished(d.codec, p)
}

// textFrame is the frame at the front, as far as it has been received.
type textFrame struct {
	*textHeader
	frameSize
	search     // for the end of the header, and then of a body UntilTrailer
	header int // size of the header
	begin  int // where the body begins; 0: the header has not been received
	said   int // what the header tells
}

// frame returns the size of the frame at the front if p has all of it, the size of the header, and where the body begins and
// ends: in front of its beginning if there is none.
func (t *textFrame) frame(p []byte) (header, begin, end, n, need int, err error) {
	if t.size == 0 {
		if need, err = t.measure(p); need > 0 || err != nil {
			return 0, 0, 0, 0, need, err
		}
	}
	if n, need = t.whole(p); need > 0 {
		return 0, 0, 0, 0, need, nil
	}
	begin, end = t.begin, n-t.tail
	t.begin = 0
	if t.said == NoBody {
		return t.header, begin, begin - 1, n, 0, nil
	}
	if end < n && !bytes.Equal(p[end:n], t.trailer.given[0]) {
		return 0, 0, 0, 0, 0, malformed(t.codec, end, "a body ends with %q, not with %q", p[end:n], t.trailer.given[0])
	}
	return t.header, begin, end, n, 0, nil
}

func (t *textFrame) measure(p []byte) (need int, err error) {
	if t.begin == 0 {
		end, width, need := t.find(t.ends, p, t.maxHeader)
		switch {
		case need > 0:
			return need, nil
		case width == 0:
			return 0, tooMany(t.codec, t.maxHeader, "header", t.maxHeader)
		}
		t.header, t.begin = end-width, end
		if t.said, err = t.bodySize(p[:t.header:t.header]); err != nil {
			return 0, err
		}
	}
	switch {
	case t.said == NoBody:
		t.size = uint64(t.begin)
		return 0, nil
	case t.said == UntilTrailer:
		end, width, need := t.find(t.trailer, p[t.begin:], t.maxBody)
		switch {
		case need > 0:
			return need, nil
		case width == 0:
			return 0, tooMany(t.codec, t.begin+t.maxBody, "body", t.maxBody)
		}
		t.size = uint64(t.begin + end)
		return 0, nil
	}
	t.size = uint64(t.begin) + uint64(t.said) + uint64(t.tail)
	if t.said > t.maxBody {
		err = tooLarge(t.codec, t.begin, "body", uint64(t.said), uint64(t.maxBody))
		t.begin = 0
	}
	return 0, err
}
