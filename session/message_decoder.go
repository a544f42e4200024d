package session

import (
	"errors"
	"fmt"
	"io"

	"github.com/tandem-io/tandem/frame"
)

// messageDecoder finds the messages in the bytes of one peer, and enforces the limits of the codec. It is the caller that
// frame.Decoder speaks of. A FrameHandler has one for each stream, a MessageBuffer has one.
type messageDecoder[M any] struct {
	dec  frame.Decoder[M]
	most int // MaxSize of the codec
	wait int // number of unread bytes that Decode needs; with fewer it is not called
}

func newMessageDecoder[M any](c frame.Codec[M]) messageDecoder[M] {
	return messageDecoder[M]{dec: c.NewDecoder(), most: c.MaxSize()}
}

// next looks for a message at the front of p, which is everything unread and begins at byte at of the stream. It consumes n
// bytes of p. With neither a message nor an error, wait is the number of unread bytes that are needed. An error that is
// skipped is about the n bytes alone.
func (d *messageDecoder[M]) next(p []byte, at uint64) (m M, n int, ok bool, err error) {
	if len(p) == 0 || len(p) < d.wait {
		return m, 0, false, nil
	}
	m, n, need, err := d.dec.Decode(p)
	skips := skipped(err) != nil
	switch {
	case err != nil && !skips:
		return m, 0, false, placed(err, at)
	case n < 0 || n > len(p) || n == 0 && (need <= 0 || skips):
		panic(fmt.Sprintf("tandem: %T.Decode consumed %d of %d bytes, and needs %d", d.dec, n, len(p), need))
	case skips:
		d.wait = 0
		return m, n, false, placed(err, at)
	case need <= 0:
		d.wait = 0
		return m, n, true, nil
	}
	left := len(p) - n
	if need > d.most-left {
		return m, 0, false, d.exceeded(at + uint64(n))
	}
	d.wait = left + need
	return m, n, false, nil
}

// exceeded returns the error for a message above MaxSize that the Decoder has not refused itself.
func (d *messageDecoder[M]) exceeded(at uint64) error {
	return &frame.Error{
		Codec: fmt.Sprintf("%T", d.dec), Offset: int64(at), Err: frame.ErrTooLarge,
		What: fmt.Sprintf("a message of more than %d bytes", d.most),
	}
}

// end looks for a last message in p, when the peer has finished. If cut is set that end cannot be believed: a message that
// it would end is an error.
func (d *messageDecoder[M]) end(p []byte, at uint64, cut bool) (m M, ok bool, err error) {
	m, ok, err = d.dec.End(p)
	switch {
	case err != nil:
		return m, false, placed(err, at)
	case ok && cut:
		return m, false, &frame.Error{
			Codec: fmt.Sprintf("%T", d.dec), Offset: int64(at) + int64(len(p)), Err: io.ErrUnexpectedEOF,
			What: "the peer has finished without close_notify, so that its last message may not be whole",
		}
	}
	return m, ok, nil
}

// skipped returns the error of a message that a Decoder has dropped to go on behind it, or nil if err is another one.
func skipped(err error) *frame.Error {
	if err == nil {
		return nil
	}
	var e *frame.Error
	if errors.As(err, &e) && e.Skipped {
		return e
	}
	return nil
}

// placed returns a Decoder's error with an offset that counts from the first byte of the peer; p began at byte at.
func placed(err error, at uint64) error {
	var e *frame.Error
	if !errors.As(err, &e) {
		return &frame.Error{Codec: "codec", Offset: int64(at), What: err.Error(), Err: err}
	}
	there := *e
	there.Offset += int64(at)
	return &there
}
