package frame

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// DelimiterOptions describe a format in which each message ends with one of some sequences of bytes.
type DelimiterOptions struct {
	// Delimiters are the sequences that end a message; at least one. None may be empty, or contain another one except at
	// its end: the other one would always be found first.
	Delimiters [][]byte

	// Keep leaves the delimiter at the end of a message. Otherwise messages do not contain it.
	Keep bool

	// MaxMessage is the size of the largest message without its delimiter, in bytes, in both directions. 0: 64 KiB.
	MaxMessage int
}

const delimiterName = "Delimiter"

// delimiter is the format of NewDelimiter.
type delimiter struct {
	given   [][]byte  // delimiters in the user's order
	longest [][]byte  // the same, those with more bytes first
	ends    [256]bool // whether a byte is the last of a delimiter
	only    int       // the only such byte, or -1
	most    int       // limit of a message, in bytes
	keep    bool
}

// NewDelimiter returns the Codec of the format that o describes. An option that it cannot honour is an error that names
// the field.
//
//	| message                   | delimiter        |
//	| bytes without a delimiter | one of the given |
//
// A message ends with the delimiter whose last byte comes first, and if several end there, with the longest: "\r\n"
// rather than "\n". It may be empty. One from a Decoder refers to the bytes it was decoded from. A message above
// MaxMessage is ErrTooLarge, at the latest when MaxMessage bytes and those of the longest delimiter have been received.
// Bytes behind the last delimiter are not a message when the peer has finished, but io.ErrUnexpectedEOF.
//
// A Decoder searches each byte once for the last byte of a delimiter, and looks back from there by the length of the
// longest delimiter, however many calls a message takes.
//
// Append ends a message with the first of Delimiters from which a Decoder gets the same message back: after "a\r" it is
// "\r\n" even if "\n" is given first. With Keep, the message must end with a delimiter. A message that contains a delimiter
// elsewhere is ErrMalformed.
func NewDelimiter(o DelimiterOptions) (Codec[[]byte], error) {
	if o.MaxMessage < 0 {
		return nil, fmt.Errorf("frame: DelimiterOptions.MaxMessage is %d, but must not be negative", o.MaxMessage)
	}
	if err := checkDelimiters(o.Delimiters); err != nil {
		return nil, err
	}
	c := &delimiter{keep: o.Keep}
	for _, d := range o.Delimiters {
		c.given = append(c.given, bytes.Clone(d))
		c.only = int(d[len(d)-1])
		c.ends[c.only] = true
	}
	for b, is := range c.ends {
		if is && b != c.only {
			c.only = -1
			break
		}
	}
	c.longest = slices.Clone(c.given)
	slices.SortStableFunc(c.longest, func(a, b []byte) int { return cmp.Compare(len(b), len(a)) })
	c.most = limit(o.MaxMessage, defaultMaxToken, len(c.longest[0]))
	return c, nil
}

func checkDelimiters(ds [][]byte) error {
	if len(ds) == 0 {
		return errors.New("frame: DelimiterOptions.Delimiters is empty, but must have one at least")
	}
	for i, d := range ds {
		if len(d) == 0 {
			return fmt.Errorf("frame: DelimiterOptions.Delimiters[%d] is empty", i)
		}
		for j, other := range ds {
			if len(other) > 0 && bytes.Contains(d[:len(d)-1], other) {
				return fmt.Errorf("frame: DelimiterOptions.Delimiters[%d], %q, is never found, because %q comes first in it",
					i, d, ds[j])
			}
		}
	}
	return nil
}

func (c *delimiter) MaxSize() int { return c.most + len(c.longest[0]) }

func (c *delimiter) NewDecoder() Decoder[[]byte] { return &delimiterDecoder{format: c} }

// find returns the end of the first delimiter whose last byte is at p[from] or behind it, and the size of the longest
// delimiter that ends there. It returns 0, 0 if there is none.
func (c *delimiter) find(p []byte, from int) (end, size int) {
	for {
		i := c.nextEnd(p[from:])
		if i < 0 {
			return 0, 0
		}
		from += i + 1
		for _, d := range c.longest {
			if bytes.HasSuffix(p[:from], d) {
				return from, len(d)
			}
		}
	}
}

// nextEnd returns the index of the first byte of p that is the last of a delimiter, or -1.
func (c *delimiter) nextEnd(p []byte) int {
	if c.only >= 0 {
		return bytes.IndexByte(p, byte(c.only))
	}
	for i, b := range p {
		if c.ends[b] {
			return i
		}
	}
	return -1
}

// missing returns the least number of bytes that must follow p before a delimiter can end.
func (c *delimiter) missing(p []byte) int {
	least := len(c.longest[0])
	for _, d := range c.longest {
		begun := min(len(p), len(d)-1)
		for !bytes.HasPrefix(d, p[len(p)-begun:]) {
			begun--
		}
		least = min(least, len(d)-begun)
	}
	return least
}

func (c *delimiter) Append(dst, m []byte) ([]byte, error) {
	end, size := c.find(m, 0)
	if c.keep {
		switch {
		case size == 0:
			return dst, malformed(delimiterName, len(m), "a message does not end with a delimiter")
		case end < len(m):
			return dst, malformed(delimiterName, end-size, "a message has a delimiter in it")
		case len(m)-size > c.most:
			return dst, c.tooLarge(len(m) - size)
		}
		return append(dst, m...), nil
	}
	if len(m) > c.most {
		return dst, c.tooLarge(len(m))
	}
	if size > 0 {
		return dst, malformed(delimiterName, end-size, "a message has a delimiter in it")
	}
	for _, d := range c.given {
		out := append(append(dst, m...), d...)
		if end, size = c.find(out[len(dst):], len(m)); end == len(m)+len(d) && size == len(d) {
			return out, nil
		}
	}
	return dst, malformed(delimiterName, len(m), "a message makes another delimiter with each that could end it")
}

func (c *delimiter) tooLarge(size int) error {
	return tooLarge(delimiterName, c.most, "message", uint64(size), uint64(c.most))
}

type delimiterDecoder struct {
	format  *delimiter
	scanned int // number of bytes at the front in which no delimiter ends
}

func (d *delimiterDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	c := d.format
	window := p[:min(len(p), c.MaxSize())]
	end, size := c.find(window, d.scanned)
	switch {
	case size == 0 && len(window) < c.MaxSize():
		d.scanned = len(window)
		return nil, 0, min(c.missing(window), c.MaxSize()-len(window)), nil
	case size == 0 || end-size > c.most:
		// Its size is not known before its end is received.
		err = &Error{Codec: delimiterName, Offset: int64(c.most), What: moreThan("message", c.most), Err: ErrTooLarge}
		return nil, 0, 0, err
	}
	d.scanned = 0
	if c.keep {
		return p[:end:end], end, 0, nil
	}
	return p[: end-size : end-size], end, 0, nil
}

func (d *delimiterDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(delimiterName, p)
}
