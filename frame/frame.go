package frame

import (
	"errors"
	"fmt"
)

// Codec is a format of messages. It is immutable; any goroutine may use it.
type Codec[M any] interface {
	// NewDecoder returns a Decoder for the bytes of one peer.
	NewDecoder() Decoder[M]

	// Append appends the encoded m to dst and returns the extended slice, as append does. It keeps no reference to m. A
	// message that cannot be encoded within the limits is an *Error, and dst is returned unchanged.
	Append(dst []byte, m M) ([]byte, error)

	// MaxSize is the largest number of the peer's bytes that have to be kept in order to decode one message, including
	// header and trailer.
	MaxSize() int
}

// Decoder finds the messages in the bytes of one peer, in order. Its caller keeps the bytes that have been received and
// not yet consumed, and passes all of them to each call:
//
//	p          the bytes that have been received and not consumed
//	p[:n]      the bytes that this call consumes: the next p does not have them
//	p[n:]      the bytes that the next p begins with, more are appended as they arrive
//
// One goroutine at a time may use a Decoder. The caller may be session.Frames, polled.NewFramed, session.MessageBuffer,
// or your own code.
type Decoder[M any] interface {
	// Decode looks for one message at the front of p, which may be empty. There are four outcomes:
	//
	//	            n                              need                        err
	//	message     > 0, the bytes of the message  0                           nil
	//	incomplete  >= 0, usually 0                > 0, bytes that are missing nil
	//	skipped     > 0, the bytes of the message  0                           an *Error, Skipped is set
	//	invalid     ignored                        ignored                     an *Error
	//
	// Message: m may refer to p, and to memory of the Decoder. It is valid as long as p is, and until the next call.
	//
	// Incomplete: need is the number of bytes that must be received in addition to p before another call can have a
	// different outcome. It is a lower bound. The caller does not call again before the next p has at least
	// len(p) - n + need bytes, which leads to three rules:
	//
	//   - need must never count a byte that the message may not have. Otherwise the caller waits for bytes that the peer
	//     does not send, and the connection hangs. If the header has not been received completely, need is what is
	//     missing of the header, and not a guess about the payload.
	//   - A need that is too small is correct, and costs a call. It is 1 if the end of the message is found only by
	//     looking for it, as in lines.
	//   - len(p) - n + need must not exceed MaxSize: the caller closes the connection with ErrTooLarge otherwise. A
	//     Decoder that knows the size of the message refuses one above its limit itself, as soon as it knows it.
	//
	// A Decoder remembers how far it has looked at p[n:], so that no byte is searched twice. It consumes bytes of an
	// incomplete message (n > 0) only if it keeps what they mean, as for chunked content; they count for MaxSize no longer.
	//
	// Skipped: what stands in place of a message is none, and its last byte is p[n-1]. Decoding goes on behind it. A
	// Decoder that knows the size of what it skips consumes the bytes in front as they come, and needs 1 meanwhile: so
	// they take no memory. A caller may treat the error as any other, and close the connection.
	//
	// Invalid: the bytes are malformed, or exceed a limit. The Decoder is not used any more.
	//
	// Decode keeps no reference to p, and does not change it. It does not panic, whatever p is, and allocates nothing
	// because of a length that the peer claims.
	Decode(p []byte) (m M, n, need int, err error)

	// End is called when the peer has finished sending and Decode finds no further message. p holds the bytes that were
	// not consumed. In formats where the end of the stream ends a message, End returns that message, and ok is true.
	// Otherwise err is nil if the peer finished between two messages, and an *Error that is io.ErrUnexpectedEOF if it
	// finished within one.
	End(p []byte) (m M, ok bool, err error)
}

// Prompter is implemented by Decoders of protocols in which a peer that has sent a part of a message may wait for an
// answer before it sends the rest, such as a client of HTTP/1.1 that expects 100 Continue.
type Prompter interface {
	// Prompt returns the answer that the peer waits for, once, or nothing. It is called after Decode was incomplete. The
	// bytes are valid until the next call of the Decoder.
	Prompt() []byte
}

// Kinds of errors, for errors.Is.
var (
	// ErrTooLarge means that a message exceeds a limit.
	ErrTooLarge = errors.New("message too large")
	// ErrMalformed means that bytes do not conform to the format.
	ErrMalformed = errors.New("malformed message")
)

// Error describes invalid bytes of a peer, or a message that cannot be encoded.
type Error struct {
	Codec string // name of the format

	// Offset is the position of the first invalid byte. It counts from the beginning of p in an error of a Decoder, from
	// the first byte of the peer in an error of a Stream or a Session, and from the beginning of the message in an error
	// of Append.
	Offset int64

	What string // what is invalid, with the limit if one was exceeded
	Err  error  // ErrTooLarge, ErrMalformed or io.ErrUnexpectedEOF

	// Skipped means that the Decoder has dropped one message, and goes on behind it, as with the option SkipTooLarge of
	// some codecs. Offset is then that of the message, also if its first bytes were consumed before: it may be negative
	// in an error of a Decoder.
	Skipped bool
}

func (e *Error) Error() string {
	return fmt.Sprintf("frame: %s: at byte %d: %s", e.Codec, e.Offset, e.What)
}

// Unwrap returns the kind of the error.
func (e *Error) Unwrap() error { return e.Err }
