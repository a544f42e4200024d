package frame

import (
	"encoding/binary"
	"math"
)

const (
	checksum32Header   = 4
	checksum32Overhead = checksum32Header + 4
)

// Checksum32 is the format of simple-stream's Checksum32Frame. Its zero value is ready to use.
//
//	| length          | payload      | sum             |
//	| u32, big-endian | length bytes | u32, big-endian |
//
// The sum is that of the payload's bytes, each a number from 0 to 255, modulo 2^32. It finds a byte that has changed,
// but not two that have changed places. The message is the payload, which may be empty. A message from a Decoder refers to
// the bytes it was decoded from. A length above the limit is ErrTooLarge as soon as its four bytes are received, and a
// wrong sum is ErrMalformed, with both sums in the error.
type Checksum32 struct {
	// MaxPayload is the size of the largest payload, in bytes, in both directions. 0: 16 MiB. If it is negative, all
	// payloads must be empty. The format itself ends at 4,294,967,295.
	MaxPayload int

	// SkipTooLarge makes a Decoder drop a payload above MaxPayload as it comes, without memory, and go on behind it. The
	// error, which is ErrTooLarge, has Skipped set, and follows the last byte. Without it the error follows the length and
	// is the last.
	SkipTooLarge bool
}

func (c Checksum32) name() string { return "Checksum32" }

func (c Checksum32) limit() int {
	return int(min(int64(limit(c.MaxPayload, defaultMaxPayload, checksum32Overhead)), math.MaxUint32))
}

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Checksum32) NewDecoder() Decoder[[]byte] { return newDecoder(c, c.SkipTooLarge) }

// MaxSize is MaxPayload and the eight bytes of length and sum.
func (c Checksum32) MaxSize() int { return checksum32Overhead + c.limit() }

// Append appends the frame of m to dst. A message larger than MaxPayload is ErrTooLarge.
func (c Checksum32) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(c.name(), most, "payload", uint64(len(m)), uint64(most))
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m)))
	dst = append(dst, m...)
	return binary.BigEndian.AppendUint32(dst, sum32(m)), nil
}

func (c Checksum32) measure(p []byte) (size uint64, need int, err error) {
	if len(p) < checksum32Header {
		return 0, checksum32Header - len(p), nil
	}
	length := uint64(binary.BigEndian.Uint32(p))
	if most := uint64(c.limit()); length > most {
		return checksum32Overhead + length, 0, tooLarge(c.name(), 0, "payload", length, most)
	}
	return checksum32Overhead + length, 0, nil
}

func (c Checksum32) unwrap(frame []byte) ([]byte, error) {
	end := len(frame) - 4
	m := frame[checksum32Header:end:end]
	said, sum := binary.BigEndian.Uint32(frame[end:]), sum32(m)
	if said != sum {
		return nil, malformed(c.name(), end, "the frame says that its bytes add up to %d, but that is %d", said, sum)
	}
	return m, nil
}

// sum32 adds up the bytes of p, eight at a time: four sums of two neighbours, each in sixteen bits, which the
// multiplication adds up in the topmost sixteen.
func sum32(p []byte) uint32 {
	const low, ones = 0x00ff00ff00ff00ff, 0x0001000100010001
	var sum uint32
	for len(p) >= 8 {
		eight := binary.LittleEndian.Uint64(p)
		sum += uint32((eight&low + eight>>8&low) * ones >> 48)
		p = p[8:]
	}
	for _, b := range p {
		sum += uint32(b)
	}
	return sum
}
