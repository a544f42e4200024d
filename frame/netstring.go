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
	return skipping[[]byte](&netstringDecoder{most: uint64(c.limit())}, c.SkipTooLarge)
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

type netstringDecoder struct {
	most uint64 // limit of a payload

	frameSize
	length uint64
	seen   int // number of digits that are in length
}

func (d *netstringDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if d.size == 0 {
		if need, err = d.measure(p); need > 0 || err != nil {
			return nil, 0, need, err
		}
	}
	if n, need = d.whole(p); need > 0 {
		return nil, 0, need, nil
	}
	begin, last := d.seen+1, n-1
	d.seen = 0
	if p[last] != ',' {
		return nil, 0, 0, malformed(netstringName, last, "a frame ends with %q, not with a comma", p[last])
	}
	return p[begin:last:last], n, 0, nil
}

func (d *netstringDecoder) measure(p []byte) (need int, err error) {
	length, seen := d.length, d.seen
	for ; seen < len(p); seen++ {
		digit := p[seen] - '0'
		if digit > 9 || length == 0 && seen > 0 || seen == netstringDigits {
			if p[seen] != ':' || seen == 0 {
				return 0, wrongNetstring(seen, length, p[seen])
			}
			d.length, d.seen, d.size = 0, seen, uint64(seen+len(":,"))+length
			if length > d.most {
				d.seen = 0
				return 0, tooLarge(netstringName, 0, "payload", length, d.most)
			}
			return 0, nil
		}
		length = 10*length + uint64(digit)
	}
	d.length, d.seen = length, seen
	return 1, nil
}

// wrongNetstring returns the error for a length of so many digits with b behind them.
func wrongNetstring(seen int, length uint64, b byte) error {
	switch {
	case b < '0' || b > '9':
		return malformed(netstringName, seen, "a length has %q in it", b)
	case length == 0:
		return malformed(netstringName, 0, "a length of several digits begins with 0")
	}
	return malformed(netstringName, seen, "a length has more than %d digits", netstringDigits)
}

func (d *netstringDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(netstringName, p)
}
