package frame

import "encoding/binary"

// Varint is the format in which Protocol Buffers are delimited in a stream. Its zero value is ready to use.
//
//	| length                                                 | payload      |
//	| base 128, low groups first; 1 to 10 bytes, of which    | length bytes |
//	| all but the last have the bit 0x80                     |              |
//
// The message is the payload, which may be empty. A message from a Decoder refers to the bytes it was decoded from. A length
// may have more bytes than necessary, as from encoders that reserve room for it. A length above the limit is ErrTooLarge as
// soon as it is received completely, one of more than 64 bits is ErrMalformed at its tenth byte. Append writes the fewest
// bytes.
type Varint struct {
	// MaxPayload is the size of the largest payload, in bytes, in both directions. 0: 16 MiB. If it is negative, all
	// payloads must be empty.
	MaxPayload int

	// SkipTooLarge makes a Decoder drop a payload above MaxPayload as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte. Without it the error follows the length and
	// is the last.
	SkipTooLarge bool
}

const varintName = "Varint"

func (c Varint) limit() int { return limit(c.MaxPayload, defaultMaxPayload, binary.MaxVarintLen64) }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Varint) NewDecoder() Decoder[[]byte] {
	prefix := varintPrefix{codec: varintName, bytes: binary.MaxVarintLen64, most: uint64(c.limit())}
	return skipping[[]byte](&varintDecoder{prefix}, c.SkipTooLarge)
}

// MaxSize is MaxPayload and the ten bytes that a length may have.
func (c Varint) MaxSize() int { return binary.MaxVarintLen64 + c.limit() }

// Append appends the frame of m to dst. A message larger than MaxPayload is ErrTooLarge.
func (c Varint) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(varintName, most, "payload", uint64(len(m)), uint64(most))
	}
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	return append(dst, m...), nil
}

type varintDecoder struct{ varintPrefix }

func (d *varintDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	begin, n, need, err := d.frame(p)
	if n == 0 {
		return nil, 0, need, err
	}
	return p[begin:n:n], n, 0, nil
}

func (d *varintDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(d.codec, p)
}

// varintPrefix is the length at the front of a frame, behind a header, as far as it has been received.
type varintPrefix struct {
	codec   string
	offset  int    // size of the header, in bytes
	bytes   int    // size of the longest length, in bytes
	minimal bool   // whether a length must have the fewest bytes
	most    uint64 // limit of a payload

	frameSize
	length uint64
	seen   int // number of bytes that are in length
}

// frame returns the size of the frame at the front if p has all of it, and where the payload begins.
func (v *varintPrefix) frame(p []byte) (begin, n, need int, err error) {
	if v.size == 0 {
		if need, err = v.measure(p); need > 0 || err != nil {
			return 0, 0, need, err
		}
	}
	if n, need = v.whole(p); need > 0 {
		return 0, 0, need, nil
	}
	begin = v.offset + v.seen
	v.length, v.seen = 0, 0
	return begin, n, 0, nil
}

func (v *varintPrefix) measure(p []byte) (need int, err error) {
	length, seen := v.length, v.seen
	for at := v.offset + seen; at < len(p); at++ {
		b := p[at]
		length |= uint64(b&0x7f) << (7 * seen)
		seen++
		switch {
		case b >= 0x80 && seen < v.bytes:
		case b >= 0x80 || b > 1 && seen == binary.MaxVarintLen64 || b == 0 && seen > 1 && v.minimal:
			return 0, v.wrong(seen, b, at)
		case length > v.most:
			v.length, v.seen, v.size = 0, 0, add(uint64(v.offset+seen), length)
			return 0, tooLarge(v.codec, v.offset, "payload", length, v.most)
		default:
			v.seen, v.size = seen, uint64(v.offset+seen)+length
			return 0, nil
		}
	}
	v.length, v.seen = length, seen
	return max(1, v.offset+1-len(p)), nil
}

// wrong returns the error for a length that ends with b, which is at at and one of so many bytes.
func (v *varintPrefix) wrong(seen int, b byte, at int) error {
	switch {
	case seen == binary.MaxVarintLen64 && b > 1:
		return malformed(v.codec, at, "a length has more than 64 bits")
	case b >= 0x80:
		return malformed(v.codec, at, "a length has more than %d bytes", v.bytes)
	}
	return malformed(v.codec, at, "a length has more bytes than it needs")
}
