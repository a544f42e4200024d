package frame

import (
	"errors"
	"fmt"
)

// Codec is a format of messages. It is immutable; any goroutine may use it.
type Codec[M any] interface {
	// NewDecoder returns a Decoder for what one peer sends.
	NewDecoder() Decoder[M]

	// Append appends m, encoded, to dst and returns the longer slice, as append does. It keeps nothing of m. A
	// message that has no encoding within the limits is an *Error, and dst is returned as it was.
	Append(dst []byte, m M) ([]byte, error)

	// MaxSize is how many bytes of the peer, at most, have to be kept for one message to be decoded, its header and
	// trailer included. In bytes.
	MaxSize() int
}

// Decoder finds messages in the bytes of one peer, in order. One goroutine at a time may use it.
type Decoder[M any] interface {
	// Decode looks for one message at the front of p, which holds all bytes that have come and that no call has
	// consumed. There are three outcomes:
	//
	//   - need is 0 and err is nil: m is a message. Its bytes are the first n of p, n > 0, and are consumed.
	//   - need > 0: there is no whole message yet. The first n bytes of p are consumed, n >= 0, and there is no use in
	//     calling again before at least need more bytes have come behind p. What has been looked at is remembered: the
	//     next p must begin with the bytes of this one that were not consumed.
	//   - err is an *Error: what the peer sent is wrong, or exceeds a limit. The Decoder is of no further use.
	//
	// m may be a part of p: it is valid as long as p is. Decode keeps nothing of p and does not change it.
	Decode(p []byte) (m M, n, need int, err error)

	// End is called when the peer has finished and Decode wants more than p. If what there is makes a last message, as
	// in formats where the end of the stream ends a message, ok is true. Else err is nil if the peer finished between
	// two messages, or an *Error that is io.ErrUnexpectedEOF if it did so within one.
	End(p []byte) (m M, ok bool, err error)
}

// Prompter is implemented by Decoders of protocols in which a peer that has sent a part of a message may wait for a word
// before it sends the rest, as a client of HTTP/1.1 does that expects 100 Continue.
type Prompter interface {
	// Prompt returns what the peer waits for, once, or nothing. It is asked when Decode needs more. The bytes are valid
	// until the next call of the Decoder.
	Prompt() []byte
}

// Kinds of errors, for errors.Is.
var (
	// ErrTooLarge means that a message exceeds a limit.
	ErrTooLarge = errors.New("message too large")
	// ErrMalformed means that bytes are not what the format asks for.
	ErrMalformed = errors.New("malformed message")
)

// Error says what is wrong with the bytes of a peer, or with a message that should be encoded.
type Error struct {
	Codec string // name of the format

	// Offset is that of the byte that is wrong: in p, from a Decoder; in all that the peer has sent, from a Stream or a
	// Session; in the message, from Append.
	Offset int64

	What string // what is wrong, with the limit if one was exceeded
	Err  error  // ErrTooLarge, ErrMalformed or io.ErrUnexpectedEOF
}

func (e *Error) Error() string {
	return fmt.Sprintf("frame: %s: at byte %d: %s", e.Codec, e.Offset, e.What)
}

// Unwrap returns the kind of the error.
func (e *Error) Unwrap() error { return e.Err }
