package frame

import "io"

// droppingDecoder is the Decoder of a prefixed format that reads a frame above the limit to its end, and drops it.
type droppingDecoder[M any] struct {
	prefixedDecoder[M]
	skip bool // whether it goes on behind such a frame

	// Of the frame that is too large:
	refused *Error // why; nil: there is no such frame
	rest    uint64 // bytes that have not been consumed
	past    int64  // bytes that have been consumed
}

// Decode drops the bytes of a frame that is too large. It needs one more byte, not the whole rest, because the caller keeps
// the bytes that are needed.
func (d *droppingDecoder[M]) Decode(p []byte) (m M, n, need int, err error) {
	if d.refused == nil {
		m, n, need, err = d.prefixedDecoder.Decode(p)
		if err == nil || d.size == 0 {
			return m, n, need, err
		}
		d.refused = err.(*Error)
		d.rest, d.past, d.size = d.size, 0, 0
	}
	if uint64(len(p)) < d.rest {
		d.rest -= uint64(len(p))
		d.past += int64(len(p))
		return m, len(p), 1, nil
	}
	refused := d.refused
	d.refused = nil
	refused.Offset -= d.past
	if !d.skip {
		return m, 0, 0, refused
	}
	refused.Skipped = true
	return m, int(d.rest), 0, refused
}

func (d *droppingDecoder[M]) End(p []byte) (m M, ok bool, err error) {
	if d.refused == nil {
		return d.prefixedDecoder.End(p)
	}
	return m, false, &Error{
		Codec:  d.format.name(),
		Offset: int64(len(p)),
		What:   "the peer finished within a frame that is dropped: " + d.refused.What,
		Err:    io.ErrUnexpectedEOF,
	}
}
