package session

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
)

// MessageBuffer decodes messages from bytes that arrive in pieces, from anywhere: it is for layers that read from
// something other than a Stream, where Frames does the same. Each piece is passed to Add, and Next is called until it
// reports that the message has not been received completely:
//
//	for {
//		p := ...            // a piece of the peer's bytes
//		b.Add(p)
//		for {
//			m, ok, err := b.Next()
//			if err != nil || !ok {
//				break       // err: the connection is to be closed, or see Next
//			}
//			...             // m is valid until another method is called
//		}
//		b.Keep()            // p may now be overwritten
//	}
//
// A message that arrives in one piece is decoded in place. Otherwise its bytes are copied into memory that grows as they
// arrive, to about MaxSize of the codec. Errors are *frame.Errors whose Offset counts from the first byte of the peer.
//
// The zero value is empty and decodes nothing. One goroutine at a time may use a MessageBuffer.
type MessageBuffer[M any] struct {
	messageDecoder[M]
	in    inbox
	begin uint64 // offset of in, in all bytes of the peer
	last  []byte // bytes of the last message in memory of our own; only if poisoning is on
}

// messageMemory is the memory of all MessageBuffers of the process.
var messageMemory backend.Pool

// NewMessageBuffer returns an empty MessageBuffer for the bytes of one peer.
func NewMessageBuffer[M any](codec frame.Codec[M]) *MessageBuffer[M] {
	return &MessageBuffer[M]{messageDecoder: newMessageDecoder(codec), in: inbox{pool: &messageMemory}}
}

// Add appends p to the bytes that have not been decoded. If there are none, p itself is used until Add, Keep or Drop is
// called; otherwise it is copied.
func (b *MessageBuffer[M]) Add(p []byte) {
	b.Keep()
	if b.in.mem == nil {
		b.in.lend(p)
	} else {
		b.in.push(p)
	}
}

// Next returns the next message. With ok false and no error more bytes are needed. After an error no more messages can
// be decoded, unless it is a *frame.Error with Skipped set: that is about one message, which the Decoder has dropped, and
// Next is called again.
func (b *MessageBuffer[M]) Next() (m M, ok bool, err error) {
	b.endLast()
	m, n, ok, err := b.next(b.in.bytes(), b.begin)
	if err != nil && skipped(err) == nil {
		return m, false, err
	}
	if b.in.mem != nil && backend.Poisoning() {
		b.last = b.in.bytes()[:n]
	}
	b.in.consume(n)
	b.begin += uint64(n)
	b.in.wanted = b.wait
	return m, ok, err
}

// Final returns the message that is ended by the end of the stream, if there is one. It is called when the peer has
// finished. An error says that the stream ended within a message.
func (b *MessageBuffer[M]) Final() (m M, ok bool, err error) {
	b.endLast()
	return b.end(b.in.bytes(), b.begin, false)
}

// Cut is Final for an end of the stream that cannot be believed, such as that of a stream whose TLSState is Truncated. Such
// an end ends no message: if Final would return a message, Cut returns an error.
func (b *MessageBuffer[M]) Cut() error {
	b.endLast()
	_, _, err := b.end(b.in.bytes(), b.begin, true)
	return err
}

// Keep copies the bytes that have not been decoded, so that the memory passed to Add belongs to the caller again. The last
// message is no longer valid.
func (b *MessageBuffer[M]) Keep() {
	b.endLast()
	b.in.endLoan()
	b.in.tidy()
}

// endLast ends the loan of the last message.
func (b *MessageBuffer[M]) endLast() {
	if b.last != nil {
		backend.Poison(b.last)
		b.last = nil
	}
}

// Len returns the number of bytes that have not been decoded.
func (b *MessageBuffer[M]) Len() int { return b.in.len() }

// Bytes returns the bytes that have not been decoded. They are valid until another method is called.
func (b *MessageBuffer[M]) Bytes() []byte { return b.in.bytes() }

// Drop drops the bytes that have not been decoded, and releases their memory. The last message is no longer valid.
func (b *MessageBuffer[M]) Drop() {
	b.last = nil
	b.in.drop()
}
