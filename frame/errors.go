package frame

import (
	"fmt"
	"io"
	"math"
)

// tooLarge is the error of something whose size exceeds a limit, both in bytes.
func tooLarge(codec string, offset int, what string, size, limit uint64) *Error {
	return &Error{
		Codec:  codec,
		Offset: int64(offset),
		What:   fmt.Sprintf("%s of %d bytes exceeds the limit of %d", what, size, limit),
		Err:    ErrTooLarge,
	}
}

// malformed is the error of bytes that are not what the format asks for.
func malformed(codec string, offset int, format string, args ...any) error {
	return &Error{Codec: codec, Offset: int64(offset), What: fmt.Sprintf(format, args...), Err: ErrMalformed}
}

// unfinished is what End returns when p is left of what the peer sent: nil if that is nothing.
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

// limit is what an option that limits a size means: zero its default, and less than zero that only what is empty is
// allowed. With the overhead bytes of a frame on top it is still an int.
func limit(option, byDefault, overhead int) int {
	if option == 0 {
		option = byDefault
	}
	return min(max(option, 0), math.MaxInt-overhead)
}

// moreThan says that something exceeds its limit when it is not known by how much.
func moreThan(what string, limit int) string {
	return fmt.Sprintf("%s of more bytes than the limit of %d", what, limit)
}
