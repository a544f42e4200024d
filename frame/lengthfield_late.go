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

	// Of the frame that is too large.
	said int64  // by its length field
	rest uint64 // bytes that are still to come, 0 if there is no such frame
	past int64  // bytes of it that were consumed
}

// Decode throws away what has come of a frame that is too large. It asks for one more byte, not for the whole rest,
// because the caller would keep all it asks for.
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
