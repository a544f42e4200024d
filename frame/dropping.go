package frame

import "io"

// sized is a Decoder that may know the size of a frame that it refuses.
type sized[M any] interface {
	Decoder[M]

	// refused returns the size of the frame for which Decode has just returned an error, 0 if it is not known or the error
	// is another one than ErrTooLarge. If it is known, the next call of Decode is for the next frame.
	refused() (size uint64)
}

// skipping returns d, or with skip a Decoder that goes on behind frames that d refuses.
func skipping[M any](d sized[M], skip bool) Decoder[M] {
	if skip {
		return &droppingDecoder[M]{sized: d, skip: true}
	}
	return d
}

// droppingDecoder reads a frame above the limit to its end, and drops it.
type droppingDecoder[M any] struct {
	sized[M]
	skip bool // whether it goes on behind such a frame

	// Of the frame that is too large:
	why  *Error // nil: there is no such frame
	rest uint64 // bytes that have not been consumed
	past int64  // bytes that have been consumed
}

// Decode drops the bytes of a frame that is too large. It needs one more byte, not the whole rest, because the caller keeps
// the bytes that are needed.
func (d *droppingDecoder[M]) Decode(p []byte) (m M, n, need int, err error) {
	if d.why == nil {
		if m, n, need, err = d.sized.Decode(p); err == nil {
			return m, n, need, nil
		}
		if d.rest = d.refused(); d.rest == 0 {
			return m, n, need, err
		}
		d.why, d.past = err.(*Error), 0
	}
	if uint64(len(p)) < d.rest {
		d.rest -= uint64(len(p))
		d.past += int64(len(p))
		return m, len(p), 1, nil
	}
	why := d.why
	d.why = nil
	why.Offset -= d.past
	if !d.skip {
		return m, 0, 0, why
	}
	why.Skipped = true
	return m, int(d.rest), 0, why
}

func (d *droppingDecoder[M]) End(p []byte) (m M, ok bool, err error) {
	if d.why == nil {
		return d.sized.End(p)
	}
	return m, false, &Error{
		Codec:  d.why.Codec,
		Offset: int64(len(p)),
		What:   "the peer finished within a frame that is dropped: " + d.why.What,
		Err:    io.ErrUnexpectedEOF,
	}
}
