// Package frametest tests codecs: whether they keep the contract of frame.Codec and frame.Decoder. It is for codecs of
// package frame and for those of others.
//
//	func TestCodec(t *testing.T) {
//		frametest.Run(t, frametest.Bytes(mycodec.Codec{}, nil))
//	}
//
// [Run] encodes messages, and gives what comes out to Decoders in pieces: cut at every place, byte by byte, and as late as
// a Decoder says that it can wait. The messages, errors and offsets must be the same each time, nothing may be kept of
// memory that has changed hands, and limits must hold. [Subject.Fuzz] does that with the bytes of a fuzz target.
//
// It cannot know what the bytes of a format are: for this, compare with some that were written by hand.
package frametest

import (
	"bytes"
	"reflect"

	"github.com/tandem-io/tandem/frame"
)

// Subject is a codec to test.
type Subject[M any] struct {
	Codec frame.Codec[M]

	// Sender encodes what Codec decodes, where the two directions of a protocol differ. Nil: Codec does.
	Sender frame.Codec[M]

	// Message makes a message that the Sender can encode out of any bytes: of the same bytes always the same, of others another
	// one if that is possible. It keeps no reference to raw.
	Message func(raw []byte) M

	// Clone copies a message with all that it refers to. Nil: a message refers to no memory that may be used again.
	Clone func(m M) M

	// Equal reports whether two messages are the same. Nil: reflect.DeepEqual.
	Equal func(a, b M) bool

	// TooLarge are messages that Append has to refuse, with frame.ErrTooLarge.
	TooLarge []M

	// Mislead overwrites bytes at the front of a frame that a Decoder has looked at, and must not look at again, with such
	// as would mislead it: the header of another frame, or a delimiter. Nil: a Decoder may look again.
	Mislead func(seen []byte)

	// InPlace returns a part of a message, not empty if the message is not, that is to be a part of the bytes from which
	// the message was decoded. Nil: messages may be copies.
	InPlace func(m M) []byte

	// NoAllocation is set if neither Decode nor Append allocate, once a Decoder has decoded a message.
	NoAllocation bool
}

// Bytes returns the Subject of a codec whose messages are bytes, with the strictest requirements: they are decoded in place,
// and nothing is allocated. If message is nil, the codec can encode any bytes.
func Bytes(codec frame.Codec[[]byte], message func(raw []byte) []byte) Subject[[]byte] {
	if message == nil {
		message = func(raw []byte) []byte { return append([]byte{}, raw...) }
	}
	return Subject[[]byte]{
		Codec:        codec,
		Message:      message,
		Clone:        bytes.Clone,
		Equal:        bytes.Equal,
		InPlace:      func(m []byte) []byte { return m },
		NoAllocation: true,
	}
}

func (s Subject[M]) sender() frame.Codec[M] {
	if s.Sender == nil {
		return s.Codec
	}
	return s.Sender
}

func (s Subject[M]) clone(m M) M {
	if s.Clone == nil {
		return m
	}
	return s.Clone(m)
}

func (s Subject[M]) equal(a, b M) bool {
	if s.Equal == nil {
		return reflect.DeepEqual(a, b)
	}
	return s.Equal(a, b)
}

// samples are some messages: empty ones, short ones, and one that makes the lower byte of a length overflow.
func (s Subject[M]) samples() (ms []M) {
	for _, raw := range []string{"", "a", "hello, world", "", "\r\r", string(bytes.Repeat([]byte("0123456789"), 26)), "\x00\xff", "end"} {
		ms = append(ms, s.Message([]byte(raw)))
	}
	return ms
}
