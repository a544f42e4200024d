package frame

import "encoding/binary"

const u64Header = 8

// U64 is the format of nbio's U64FramingStrategy. Its zero value is ready to use.
//
//	| length             | payload      |
//	| u64, little-endian | length bytes |
//
// The message is the payload, which may be empty. A message from a Decoder refers to the bytes it was decoded from. A length
// above the limit is ErrTooLarge as soon as its eight bytes are received, except with SkipTooLarge. The Decoder needs the
// rest of the length first, then the rest of the frame.
type U64 struct {
	// MaxPayload is the size of the largest payload, in bytes, in both directions. 0: 16 MiB. If it is negative, all
	// payloads must be empty.
	MaxPayload int

	// SkipTooLarge makes a Decoder drop a payload above MaxPayload as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte. Without it the error follows the length and
	// is the last.
	SkipTooLarge bool
}

func (c U64) name() string { return "U64" }
func (c U64) limit() int   { return limit(c.MaxPayload, defaultMaxPayload, u64Header) }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c U64) NewDecoder() Decoder[[]byte] { return newDecoder(c, c.SkipTooLarge) }

// MaxSize is MaxPayload and the eight bytes of the length.
func (c U64) MaxSize() int { return u64Header + c.limit() }

// Append appends the frame of m to dst. A message larger than MaxPayload is ErrTooLarge.
func (c U64) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(c.name(), most, "payload", uint64(len(m)), uint64(most))
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(m)))
	return append(dst, m...), nil
}

func (c U64) measure(p []byte) (size uint64, need int, err error) {
	if len(p) < u64Header {
		return 0, u64Header - len(p), nil
	}
	length := binary.LittleEndian.Uint64(p)
	if most := uint64(c.limit()); length > most {
		return add(u64Header, length), 0, tooLarge(c.name(), 0, "payload", length, most)
	}
	return u64Header + length, 0, nil
}

func (c U64) unwrap(frame []byte) ([]byte, error) { return frame[u64Header:], nil }
