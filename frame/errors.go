package frame

import (
	"fmt"
	"io"
	"math"
)

// tooLarge returns the error for a size that exceeds a limit, both in bytes.
func tooLarge(codec string, offset int, what string, size, limit uint64) *Error {
	return &Error{
		Codec:  codec,
		Offset: int64(offset),
		What:   fmt.Sprintf("%s of %d bytes exceeds the limit of %d", what, size, limit),
		Err:    ErrTooLarge,
	}
}

// malformed returns the error for bytes that do not conform to the format.
func malformed(codec string, offset int, format string, args ...any) error {
	return &Error{Codec: codec, Offset: int64(offset), What: fmt.Sprintf(format, args...), Err: ErrMalformed}
}

// unfinished returns the error of End when p was not consumed: nil if p is empty.
func unfinished(codec string, p []byte) error {
	if len(p) == 0 {
		return nil
	}
	return &Error{
		Codec:  codec,
		Offset: int64(len(p)),
		What:   fmt.Sprintf("the peer finished after %d bytes of a frame", len(p)),
		Err:    io.ErrUnexpectedEOF,
	}
}

// limit resolves an option that limits a size: 0 means its default, and a negative value 0. The result plus overhead, the
// other bytes of a frame, fits in an int.
func limit(option, byDefault, overhead int) int {
	if option == 0 {
		option = byDefault
	}
	return min(max(option, 0), math.MaxInt-overhead)
}

// tooMany returns the error for a size that exceeds a limit by an unknown number of bytes, because the end has not been
// received.
func tooMany(codec string, offset int, what string, limit int) error {
	return &Error{
		Codec:  codec,
		Offset: int64(offset),
		What:   fmt.Sprintf("%s of more bytes than the limit of %d", what, limit),
		Err:    ErrTooLarge,
	}
}

// add returns a + b, or the largest number if that is larger.
func add(a, b uint64) uint64 {
	if b > math.MaxUint64-a {
		return math.MaxUint64
	}
	return a + b
}
