package frame

import "fmt"

// fixed is the format of NewFixed.
type fixed struct{ n int }

// NewFixed returns the Codec of a format in which every message has size bytes, and nothing around them.
//
//	| message    |
//	| size bytes |
//
// A message from a Decoder refers to the bytes it was decoded from. Append accepts messages of that size only: a longer
// one is ErrTooLarge, a shorter one ErrMalformed. A size below 1 is an error.
func NewFixed(size int) (Codec[[]byte], error) {
	if size < 1 {
		return nil, fmt.Errorf("frame: NewFixed: size is %d, but must be at least 1", size)
	}
	return fixed{n: size}, nil
}

func (fixed) name() string                          { return "Fixed" }
func (c fixed) NewDecoder() Decoder[[]byte]         { return newDecoder(c, false) }
func (c fixed) MaxSize() int                        { return c.n }
func (c fixed) measure([]byte) (uint64, int, error) { return uint64(c.n), 0, nil }

func (fixed) unwrap(frame []byte) ([]byte, error) { return frame, nil }

func (c fixed) Append(dst, m []byte) ([]byte, error) {
	switch {
	case len(m) > c.n:
		return dst, tooLarge(c.name(), c.n, "message", uint64(len(m)), uint64(c.n))
	case len(m) < c.n:
		return dst, malformed(c.name(), len(m), "message of %d bytes where each has %d", len(m), c.n)
	}
	return append(dst, m...), nil
}
