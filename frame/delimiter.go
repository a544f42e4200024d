package frame

import "fmt"

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
	delimiters
	most int // limit of a message, in bytes
	keep bool
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
	ds, err := newDelimiters("DelimiterOptions.Delimiters", o.Delimiters)
	if err != nil {
		return nil, err
	}
	most := limit(o.MaxMessage, defaultMaxToken, len(ds.longest[0]))
	return &delimiter{delimiters: *ds, most: most, keep: o.Keep}, nil
}

func (c *delimiter) MaxSize() int { return c.most + len(c.longest[0]) }

func (c *delimiter) NewDecoder() Decoder[[]byte] { return &delimiterDecoder{format: c} }

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
	format *delimiter
	search
}

func (d *delimiterDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	c := d.format
	end, size, need := d.find(&c.delimiters, p, c.most)
	switch {
	case need > 0:
		return nil, 0, need, nil
	case size == 0:
		return nil, 0, 0, tooMany(delimiterName, c.most, "message", c.most)
	case c.keep:
		return p[:end:end], end, 0, nil
	}
	return p[: end-size : end-size], end, 0, nil
}

func (d *delimiterDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(delimiterName, p)
}
