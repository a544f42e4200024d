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
	return newDecoder[[]byte](&varintFrame{prefix}, c.SkipTooLarge)
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

// varintFrame is the prefix of a frame whose message is the payload.
type varintFrame struct{ varintPrefix }

func (v *varintFrame) unwrap(frame []byte) ([]byte, error) {
	m := frame[v.seen:]
	v.length, v.seen = 0, 0
	return m, nil
}

// varintPrefix is the length at the front of a frame, behind a header, as far as it has been received.
type varintPrefix struct {
	codec   string
	offset  int    // size of the header, in bytes
	bytes   int    // size of the longest length, in bytes
	minimal bool   // whether a length must have the fewest bytes
	most    uint64 // limit of a payload

	length uint64
	seen   int // number of bytes that are in length
}

func (v *varintPrefix) name() string { return v.codec }

func (v *varintPrefix) measure(p []byte) (size uint64, need int, err error) {
	for at := v.offset + v.seen; at < len(p); at++ {
		b := p[at]
		v.length |= uint64(b&0x7f) << (7 * v.seen)
		v.seen++
		switch {
		case v.seen == binary.MaxVarintLen64 && b > 1:
			return 0, 0, malformed(v.codec, at, "a length has more than 64 bits")
		case b == 0 && v.minimal && v.seen > 1:
			return 0, 0, malformed(v.codec, at, "a length has more bytes than it needs")
		case b < 0x80:
			return v.size()
		case v.seen == v.bytes:
			return 0, 0, malformed(v.codec, at, "a length has more than %d bytes", v.bytes)
		}
	}
	return 0, max(1, v.offset+1-len(p)), nil
}

func (v *varintPrefix) size() (size uint64, need int, err error) {
	size = add(uint64(v.offset+v.seen), v.length)
	if v.length > v.most {
		err = tooLarge(v.codec, v.offset, "payload", v.length, v.most)
		v.length, v.seen = 0, 0
	}
	return size, 0, err
}
