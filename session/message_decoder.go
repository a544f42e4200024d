package session

import (
	"errors"
	"fmt"

	"github.com/tandem-io/tandem/frame"
)

// messageDecoder finds the messages in what one peer sends. A FrameHandler has one for each stream, and a MessageBuffer
// has one.
type messageDecoder[M any] struct {
	dec  frame.Decoder[M]
	most int // bytes that may be kept for one message
	wait int // unread bytes below which there is no use in looking
}

func newMessageDecoder[M any](c frame.Codec[M]) messageDecoder[M] {
	return messageDecoder[M]{dec: c.NewDecoder(), most: c.MaxSize()}
}

// next looks for a message at the front of p, which is all that is unread and begins at byte at of what the peer sent.
// n bytes of p are consumed whatever the outcome. With neither a message nor an error, wait says when to look again.
func (d *messageDecoder[M]) next(p []byte, at uint64) (m M, n int, ok bool, err error) {
	if len(p) == 0 || len(p) < d.wait {
		return m, 0, false, nil
	}
	m, n, need, err := d.dec.Decode(p)
	switch {
	case err != nil:
		return m, 0, false, placed(err, at)
	case n < 0 || n > len(p) || n == 0 && need <= 0:
		panic(fmt.Sprintf("tandem: %T.Decode consumed %d of %d bytes, and needs %d", d.dec, n, len(p), need))
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

// exceeded is for a Decoder that has no error of its own for a message that is too large.
func (d *messageDecoder[M]) exceeded(at uint64) error {
	return &frame.Error{
		Codec: fmt.Sprintf("%T", d.dec), Offset: int64(at), Err: frame.ErrTooLarge,
		What: fmt.Sprintf("a message of more than %d bytes", d.most),
	}
}

// end looks for a last message in p, behind which the peer has finished.
func (d *messageDecoder[M]) end(p []byte, at uint64) (m M, ok bool, err error) {
	m, ok, err = d.dec.End(p)
	if err != nil {
		return m, false, placed(err, at)
	}
	return m, ok, nil
}

// placed counts the offset of a Decoder's error from the first byte of the peer.
func placed(err error, at uint64) error {
	var e *frame.Error
	if !errors.As(err, &e) {
		return &frame.Error{Codec: "codec", Offset: int64(at), What: err.Error(), Err: err}
	}
	there := *e
	there.Offset += int64(at)
	return &there
}
