package frame

import (
	"errors"
	"fmt"
	"io"
)

// lateDecoder is the Decoder of a LengthField with FailLate.
type lateDecoder struct {
	prefixedDecoder
	format *lengthField

	// Of the frame that is too large:
	said int64  // value of its length field
	rest uint64 // bytes that have not been received; 0: there is no such frame
	past int64  // bytes that were consumed
}

// Decode drops the bytes of a frame that is too large. It needs one more byte, not the whole rest, because the caller keeps
// the bytes that are needed.
func (d *lateDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if d.rest == 0 {
		m, n, need, err = d.prefixedDecoder.Decode(p)
		if !errors.Is(err, ErrTooLarge) {
			return m, n, need, err
		}
		d.said = d.format.decode(p)
		d.rest = d.format.sizeOf(d.said)
	}
	if uint64(len(p)) >= d.rest {
		return nil, 0, 0, d.format.tooLarge(d.said, int64(d.format.offset)-d.past)
	}
	d.rest -= uint64(len(p))
	d.past += int64(len(p))
	return nil, len(p), 1, nil
}

func (d *lateDecoder) End(p []byte) ([]byte, bool, error) {
	if d.rest == 0 {
		return d.prefixedDecoder.End(p)
	}
	return nil, false, &Error{
		Codec:  lengthFieldName,
		Offset: int64(len(p)),
		What: fmt.Sprintf("the peer finished within a frame of %d bytes, which exceeds the limit of %d",
			d.format.sizeOf(d.said), d.format.maxFrame),
		Err: io.ErrUnexpectedEOF,
	}
}
