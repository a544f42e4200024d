package frame

import (
	"encoding/binary"
	"math"
)

const (
	simpleHeader     = 3
	simpleOverhead   = simpleHeader + 1
	simpleStart      = 0x01
	simpleEnd        = 0x17
	simpleMaxPayload = math.MaxUint16
)

// Simple is the format of simple-stream's SimpleFrame.
//
//	| start | length          | payload      | end  |
//	| 0x01  | u16, big-endian | length bytes | 0x17 |
//
// The message is the payload, 0 to 65,535 bytes. A message from a Decoder refers to the bytes it was decoded from. A
// wrong start or end is ErrMalformed as soon as that byte is received.
type Simple struct{}

func (Simple) name() string { return "Simple" }

// NewDecoder returns a Decoder for the bytes of one peer.
func (c Simple) NewDecoder() Decoder[[]byte] { return newDecoder(c, false) }

// MaxSize is 65,539: the largest payload and the four bytes around it.
func (Simple) MaxSize() int { return simpleOverhead + simpleMaxPayload }

// Append appends the frame of m to dst. A message of more than 65,535 bytes is ErrTooLarge.
func (c Simple) Append(dst, m []byte) ([]byte, error) {
	if len(m) > simpleMaxPayload {
		return dst, tooLarge(c.name(), simpleMaxPayload, "payload", uint64(len(m)), simpleMaxPayload)
	}
	dst = append(dst, simpleStart, byte(len(m)>>8), byte(len(m)))
	dst = append(dst, m...)
	return append(dst, simpleEnd), nil
}

func (c Simple) measure(p []byte) (size uint64, need int, err error) {
	if len(p) == 0 {
		return 0, 1, nil // not the whole header: the first byte may be wrong
	}
	if p[0] != simpleStart {
		return 0, 0, malformed(c.name(), 0, "a frame begins with %#02x, not with %#02x", p[0], simpleStart)
	}
	if len(p) < simpleHeader {
		return 0, simpleHeader - len(p), nil
	}
	return simpleOverhead + uint64(binary.BigEndian.Uint16(p[1:])), 0, nil
}

func (c Simple) unwrap(frame []byte) ([]byte, error) {
	last := len(frame) - 1
	if frame[last] != simpleEnd {
		return nil, malformed(c.name(), last, "a frame ends with %#02x, not with %#02x", frame[last], simpleEnd)
	}
	return frame[simpleHeader:last:last], nil
}
