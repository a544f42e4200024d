package polled

import (
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// MessageSession is a Session of messages over a Session of bytes.
//
//	Read   ◄── codec, in place in what the Session below has lent; or in a copy, if a message came in pieces
//	Write  ──► codec ──► write buffer ──► Drive, Flush: the Session below
//
// A message that Read returns may be a part of borrowed memory: it is valid until the next Read or Close. What is
// gathered for one message grows as bytes come, to MaxSize of the codec at most. Bytes that are no message are a
// *frame.Error of Read, whose Offset counts from the first byte of the peer; Write still works then, for an answer.
//
// Write takes a message as a whole or not at all. A message that the codec refuses is an error of that Write alone.
type MessageSession[R, W any] struct {
	inner Bytes
	in    *session.MessageBuffer[R]
	end   error // of Read, from now on

	codec  frame.Codec[W]
	out    outbox
	broken error // of writing, from now on
	closed bool
}

// defaultWriteBuffer is the size of a write buffer, in bytes, if none is given.
const defaultWriteBuffer = 64 << 10

// NewFramed makes a Session of messages. writeBuffer is how many encoded bytes may wait in it; a frame that is larger is
// taken when nothing else waits. In bytes, 0: 64 KiB. It panics as NewDuplex does.
func NewFramed[M any](inner Bytes, codec frame.Codec[M], writeBuffer int) *MessageSession[M, M] {
	return NewDuplex(inner, codec, codec, writeBuffer)
}

// NewDuplex is NewFramed for messages that differ by direction, such as responses that are read and requests that are
// written. A Session or codec that is nil, or a writeBuffer below 0, is a programming error: it panics.
func NewDuplex[R, W any](inner Bytes, in frame.Codec[R], out frame.Codec[W], writeBuffer int) *MessageSession[R, W] {
	if inner == nil || in == nil || out == nil {
		panic("polled: NewFramed or NewDuplex without a Session or a codec")
	}
	switch {
	case writeBuffer < 0:
		panic(fmt.Sprintf("polled: NewFramed or NewDuplex with a write buffer of %d bytes", writeBuffer))
	case writeBuffer == 0:
		writeBuffer = defaultWriteBuffer
	}
	return &MessageSession[R, W]{inner: inner, in: session.NewMessageBuffer(in), codec: out, out: outbox{limit: writeBuffer}}
}

// Status implements Session.
func (f *MessageSession[R, W]) Status() Status {
	status := f.inner.Status()
	if status == Terminated && f.unread() {
		return Established
	}
	return status
}

// unread reports whether Read has something yet, if only an error.
func (f *MessageSession[R, W]) unread() bool { return f.end == nil && f.in.Len() > 0 }

// Drive implements Session.
func (f *MessageSession[R, W]) Drive() (Activity, error) {
	activity, err := f.inner.Drive()
	if err != nil {
		if f.unread() {
			err = nil // Read comes first, and then to the same end
		}
		return activity, err
	}
	if f.push() {
		activity = Active
	}
	if f.end != nil {
		return activity, f.broken // else it waits until all has been read
	}
	return activity, nil
}

// push hands down what waits, and reports whether any of it went.
func (f *MessageSession[R, W]) push() bool {
	if f.out.len() == 0 || f.broken != nil || f.inner.Status() != Established {
		return false
	}
	rest, _, err := f.inner.Write(f.out.bytes())
	if err != nil {
		f.broken = err
		return false
	}
	n := f.out.len() - len(rest)
	f.out.advance(n)
	return n > 0
}

// Read implements Session. Buffered means that bytes have come, and not yet a message.
func (f *MessageSession[R, W]) Read() (m R, status ReadStatus, err error) {
	if f.end != nil {
		return m, None, f.end
	}
	if m, status, err = f.decode(); status == Data || err != nil {
		return m, status, err
	}
	f.in.Keep()
	p, status, err := f.inner.Read()
	switch {
	case err == io.EOF:
		return f.last()
	case err != nil:
		f.end = err
		return m, None, err
	case status != Data:
		return m, status, nil
	}
	f.in.Add(p)
	return f.decode()
}

// decode looks for a message in what there is.
func (f *MessageSession[R, W]) decode() (m R, status ReadStatus, err error) {
	m, ok, err := f.in.Next()
	switch {
	case err != nil:
		f.end = err
		return m, None, err
	case ok:
		return m, Data, nil
	}
	return m, Buffered, nil
}

// last is what Read returns when the peer has finished.
func (f *MessageSession[R, W]) last() (m R, status ReadStatus, err error) {
	m, ok, err := f.in.Final()
	if f.end = err; err != nil {
		return m, None, err
	}
	f.end = io.EOF
	if ok {
		return m, Data, nil
	}
	return m, None, io.EOF
}

// Write implements Session.
func (f *MessageSession[R, W]) Write(w W) (rest W, status WriteStatus, err error) {
	switch f.inner.Status() {
	case Establishing:
		return w, Pending, nil
	case Terminated:
		if _, _, err = f.inner.Write(nil); err == nil {
			err = net.ErrClosed
		}
		return w, Pending, err
	case Established:
	}
	taken, err := put(&f.out, f.codec, w)
	if !taken && err == nil && f.push() {
		taken, err = put(&f.out, f.codec, w)
	}
	switch {
	case f.broken != nil:
		return w, Pending, f.broken
	case err != nil || !taken:
		return w, Pending, err
	}
	return rest, Success, nil
}

// Queued returns how many bytes of frames wait for Drive or Flush.
func (f *MessageSession[R, W]) Queued() int { return f.out.len() }

// Flush implements Session.
func (f *MessageSession[R, W]) Flush() error {
	f.push()
	if f.broken != nil {
		return f.broken
	}
	return f.inner.Flush()
}

// Detach hands the connection below on as a net.Conn: bytes that were read and made no message are read from it first,
// and frames that wait are sent before anything that is written to it. The session ends: its methods return
// net.ErrClosed. The message that Read returned last stays valid. If the Session below cannot be handed on the error is
// errors.ErrUnsupported, and nothing changes; nor does it after any other error.
//
// Bytes that a Decoder has consumed of a message whose end has not come are lost. Decoders of package frame consume none,
// but for LengthFieldOptions.FailLate.
func (f *MessageSession[R, W]) Detach() (net.Conn, error) { return f.detachWith(nil, nil) }

func (f *MessageSession[R, W]) detachWith(front, rest []byte) (net.Conn, error) {
	if f.closed {
		return nil, net.ErrClosed
	}
	c, err := detachBelow(f.inner, slices.Concat(front, f.in.Bytes()), slices.Concat(f.out.bytes(), rest))
	if err != nil {
		return nil, err
	}
	f.in = new(session.MessageBuffer[R]) // the memory of the old one is the last message's
	f.out.buf, f.out.head = nil, 0
	f.closed, f.end, f.broken = true, net.ErrClosed, net.ErrClosed
	return c, nil
}

// CloseInStages is Close for a peer that may still be sending, as of the function CloseInStages, where the Session
// below can do that.
func (f *MessageSession[R, W]) CloseInStages() error {
	if f.closed {
		return nil
	}
	return f.closeBy(func() error { return closeBelow(f.inner) })
}

// Close implements Session. Frames for which the Session below has no room are lost, and then the error is
// io.ErrShortWrite: to be sure of them, drive until Queued is 0.
func (f *MessageSession[R, W]) Close() error {
	if f.closed {
		return nil
	}
	return f.closeBy(f.inner.Close)
}

func (f *MessageSession[R, W]) closeBy(end func() error) error {
	f.push()
	lost := f.out.len()
	f.in.Drop()
	f.out.buf, f.out.head = nil, 0
	f.closed, f.end = true, net.ErrClosed
	if err := end(); err != nil || lost == 0 {
		return err
	}
	return fmt.Errorf("polled: close: %d bytes of frames were not sent: %w", lost, io.ErrShortWrite)
}

var _ Bytes = (*MessageSession[[]byte, []byte])(nil)
