package polled

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// MessageSession is a Session of messages over a Session of bytes.
//
//	Read   ◄── codec ◄── memory of the Session below, or a copy if a message arrives in pieces
//	Write  ──► codec ──► write buffer ──► Drive, Flush ──► the Session below
//
// A message that Read returns is valid until the next Read or Close. The memory for a message that arrives in pieces grows
// as its bytes arrive, to MaxSize of the codec at most. Invalid bytes make Read return a *frame.Error, whose Offset counts
// from the first byte of the peer; Write still works then, for an answer. A message that the end of the connection would end
// is an error, too, that is io.ErrUnexpectedEOF, if the connection has TLS and its peer has finished without close_notify.
//
// A message that the codec drops to go on behind it, as with the option SkipTooLarge, makes Read return Buffered, in its
// turn, and then Skipped returns why.
//
// Write takes a message as a whole or not at all. A message that the codec refuses is an error of that Write alone.
type MessageSession[R, W any] struct {
	inner Bytes
	in    *session.MessageBuffer[R]
	end   error // what Read returns from now on; nil: it goes on

	skipped *frame.Error // what Skipped returns

	codec  frame.Codec[W]
	out    outgoing
	broken error // what Write returns from now on; nil: it goes on
	closed bool
}

// defaultWriteBuffer is the default size of a write buffer, in bytes.
const defaultWriteBuffer = 64 << 10

// NewFramed returns a Session of messages. Up to writeBuffer bytes of encoded messages are buffered for sending; a larger
// message is taken when the buffer is empty. 0 means 64 KiB. NewFramed panics as NewDuplex does.
func NewFramed[M any](inner Bytes, codec frame.Codec[M], writeBuffer int) *MessageSession[M, M] {
	return NewDuplex(inner, codec, codec, writeBuffer)
}

// NewDuplex is NewFramed for two types of messages, such as responses that are read and requests that are written. It
// panics if a Session or codec is nil, or writeBuffer is negative.
func NewDuplex[R, W any](inner Bytes, in frame.Codec[R], out frame.Codec[W], writeBuffer int) *MessageSession[R, W] {
	if inner == nil || in == nil || out == nil {
		panic("polled: NewFramed or NewDuplex without a Session or a codec")
	}
	if writeBuffer < 0 {
		panic(fmt.Sprintf("polled: NewFramed or NewDuplex with a write buffer of %d bytes", writeBuffer))
	}
	if writeBuffer == 0 {
		writeBuffer = defaultWriteBuffer
	}
	return &MessageSession[R, W]{
		inner: inner, in: session.NewMessageBuffer(in), codec: out, out: outgoing{limit: writeBuffer},
	}
}

// Status implements Session.
func (f *MessageSession[R, W]) Status() Status {
	status := f.inner.Status()
	if status == Terminated && f.unread() {
		return Established
	}
	return status
}

// unread reports whether Read has anything left to return, if only an error.
func (f *MessageSession[R, W]) unread() bool { return f.end == nil && f.in.Len() > 0 }

// Drive implements Session.
func (f *MessageSession[R, W]) Drive() (Activity, error) {
	activity, err := f.inner.Drive()
	if err != nil {
		if f.unread() {
			err = nil // Read returns the rest first, and then the error
		}
		return activity, err
	}
	if f.push() {
		activity = Active
	}
	if f.end != nil {
		return activity, f.broken // otherwise it is reported when everything has been read
	}
	return activity, nil
}

// push writes the buffer to the Session below, and reports whether that took any of it.
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

// Read implements Session. Buffered means that bytes have arrived, but not yet a complete message, or one that was dropped.
func (f *MessageSession[R, W]) Read() (m R, status ReadStatus, err error) {
	f.skipped = nil
	if f.end != nil {
		return m, None, f.end
	}
	if m, status, err = f.decode(); status == Data || err != nil || f.skipped != nil {
		return m, status, err
	}
	f.in.Keep()
	p, status, err := f.inner.Read()
	switch {
	case err == io.EOF:
		return f.readFinal()
	case err != nil:
		f.end = err
		return m, None, err
	case status != Data:
		return m, status, nil
	}
	f.in.Add(p)
	return f.decode()
}

// decode looks for a message in the bytes received so far.
func (f *MessageSession[R, W]) decode() (m R, status ReadStatus, err error) {
	m, ok, err := f.in.Next()
	switch {
	case errors.As(err, &f.skipped) && f.skipped.Skipped:
		return m, Buffered, nil
	case err != nil:
		f.skipped = nil
		f.end = err
		return m, None, err
	case ok:
		return m, Data, nil
	}
	return m, Buffered, nil
}

// Skipped returns the error of the message that the last Read found and the codec has dropped, or nil if there was none.
// The next Read returns what is behind it.
func (f *MessageSession[R, W]) Skipped() *frame.Error { return f.skipped }

// readFinal is Read when the peer has finished sending.
func (f *MessageSession[R, W]) readFinal() (m R, status ReadStatus, err error) {
	if state, _ := tlsBelow(f.inner); state.Truncated {
		if f.end = f.in.Cut(); f.end == nil {
			f.end = io.EOF
		}
		return m, None, f.end
	}
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

// Queued returns the number of encoded bytes that wait for Drive or Flush.
func (f *MessageSession[R, W]) Queued() int { return f.out.len() }

// Flush implements Session.
func (f *MessageSession[R, W]) Flush() error {
	f.push()
	if f.broken != nil {
		return f.broken
	}
	return f.inner.Flush()
}

// TLS returns what the Session below knows of TLS, and false if that is nothing.
func (f *MessageSession[R, W]) TLS() (session.TLSState, bool) { return tlsBelow(f.inner) }

// Detach returns the connection below as a net.Conn. Bytes that were received and not decoded are read from it first, and
// messages in the write buffer are sent before anything that is written to it. The session ends: its methods return
// net.ErrClosed. The message that Read returned last stays valid. If the Session below has no Detach, the error is
// errors.ErrUnsupported. After an error the session goes on.
//
// Bytes of an incomplete message that the Decoder has already consumed are lost. Decoders of package frame consume none,
// except with LengthFieldOptions.FailLate and SkipTooLarge.
func (f *MessageSession[R, W]) Detach() (net.Conn, error) { return f.detachWith(nil, nil) }

// detachWith implements detacher.
func (f *MessageSession[R, W]) detachWith(unread, unsent []byte) (net.Conn, error) {
	if f.closed {
		return nil, net.ErrClosed
	}
	c, err := detachBelow(f.inner, slices.Concat(unread, f.in.Bytes()), slices.Concat(f.out.bytes(), unsent))
	if err != nil {
		return nil, err
	}
	f.leave()
	return c, nil
}

// CloseInStages is Close for a peer that may still be sending, as the function session.CloseInStages, if the Session below
// supports that.
func (f *MessageSession[R, W]) CloseInStages() error {
	if f.closed {
		return nil
	}
	return f.closeBy(func() error { return closeBelow(f.inner) })
}

// Close implements Session. Messages in the write buffer for which the Session below has no room are lost, and then the
// error is io.ErrShortWrite. To avoid that, drive until Queued is 0.
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
	f.out.drop()
	f.closed, f.end = true, net.ErrClosed
	if err := end(); err != nil || lost == 0 {
		return err
	}
	return fmt.Errorf("polled: close: %d bytes of messages were not sent: %w", lost, io.ErrShortWrite)
}

var _ Bytes = (*MessageSession[[]byte, []byte])(nil)
