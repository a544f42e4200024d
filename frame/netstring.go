package frame

import "strconv"

const (
	netstringName = "Netstring"

	// netstringDigits is how many digits a length may have. So many always fit in 64 bits.
	netstringDigits   = 19
	netstringOverhead = netstringDigits + len(":,")
)

// Netstring is the format of D. J. Bernstein's netstrings. Its zero value is ready to use.
//
//	| length                     |     | payload      |     |
//	| decimal, without leading 0 |  :  | length bytes |  ,  |
//
// The message is the payload, which may be empty. A message from a Decoder refers to the bytes it was decoded from. A length
// above the limit is ErrTooLarge as soon as its colon is received, except with SkipTooLarge. What is no digit, a zero in
// front, a twentieth digit, and another byte than the comma are ErrMalformed as soon as they are received.
type Netstring struct {
	// MaxPayload is the size of the largest payload, in bytes, in both directions. 0: 16 MiB. If it is negative, all
	// payloads must be empty.
	MaxPayload int

	// SkipTooLarge makes a Decoder drop a payload above MaxPayload as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte, which is not checked. Without it the error
	// follows the length and is the last.
	SkipTooLarge bool
}

func (c Netstring) limit() int { return limit(c.MaxPayload, defaultMaxPayload, netstringOverhead) }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Netstring) NewDecoder() Decoder[[]byte] {
	return newDecoder[[]byte](&netstringPrefix{most: uint64(c.limit())}, c.SkipTooLarge)
}

// MaxSize is MaxPayload, the 19 digits that a length may have, the colon and the comma.
func (c Netstring) MaxSize() int { return netstringOverhead + c.limit() }

// Append appends the frame of m to dst. A message larger than MaxPayload is ErrTooLarge.
func (c Netstring) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(netstringName, most, "payload", uint64(len(m)), uint64(most))
	}
	dst = append(strconv.AppendInt(dst, int64(len(m)), 10), ':')
	return append(append(dst, m...), ','), nil
}

// netstringPrefix is the length at the front of a frame, as far as it has been received.
type netstringPrefix struct {
	most   uint64 // limit of a payload
	length uint64
	seen   int // number of digits that are in length
}

func (v *netstringPrefix) name() string { return netstringName }

func (v *netstringPrefix) measure(p []byte) (size uint64, need int, err error) {
	for ; v.seen < len(p); v.seen++ {
		b := p[v.seen]
		switch {
		case b == ':' && v.seen > 0:
			return v.size()
		case b < '0' || b > '9':
			return 0, 0, malformed(netstringName, v.seen, "a length has %q in it", b)
		case v.seen > 0 && v.length == 0:
			return 0, 0, malformed(netstringName, 0, "a length of several digits begins with 0")
		case v.seen == netstringDigits:
			return 0, 0, malformed(netstringName, v.seen, "a length has more than %d digits", netstringDigits)
		}
		v.length = 10*v.length + uint64(b-'0')
	}
	return 0, 1, nil
}

func (v *netstringPrefix) size() (size uint64, need int, err error) {
	size = uint64(v.seen+len(":,")) + v.length
	if v.length > v.most {
		err = tooLarge(netstringName, 0, "payload", v.length, v.most)
		v.length, v.seen = 0, 0
	}
	return size, 0, err
}

func (v *netstringPrefix) unwrap(frame []byte) ([]byte, error) {
	last := len(frame) - 1
	if frame[last] != ',' {
		return nil, malformed(netstringName, last, "a frame ends with %q, not with a comma", frame[last])
	}
	m := frame[v.seen+1 : last : last]
	v.length, v.seen = 0, 0
	return m, nil
}
