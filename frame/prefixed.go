package frame

// defaultMaxPayload is the default limit of a payload, in bytes.
const defaultMaxPayload = 16 << 20

// prefixed is a format in which the beginning of a frame determines its size.
type prefixed[M any] interface {
	name() string

	// measure returns the size of the frame that begins at p[0], which is positive. If p is too short for that, need is the
	// number of missing bytes, as in Decoder. A size above the limit is an ErrTooLarge as soon as it is known, so that
	// nobody waits for the bytes. It is returned with that error, and with no other: the next call is for the next frame.
	measure(p []byte) (size uint64, need int, err error)

	// unwrap returns the message in a frame of that size.
	unwrap(frame []byte) (M, error)
}

// newDecoder returns a Decoder of a prefixed format. With skip, it goes on behind a frame above the limit.
func newDecoder[M any](format prefixed[M], skip bool) Decoder[M] {
	d := prefixedDecoder[M]{format: format}
	if skip {
		return &droppingDecoder[M]{prefixedDecoder: d, skip: true}
	}
	return &d
}

// prefixedDecoder is the Decoder of every prefixed format.
type prefixedDecoder[M any] struct {
	format prefixed[M]
	size   uint64 // size of the frame at the front; 0: not known yet
}

func (d *prefixedDecoder[M]) Decode(p []byte) (m M, n, need int, err error) {
	if d.size == 0 {
		d.size, need, err = d.format.measure(p)
		if need > 0 || err != nil {
			return m, 0, need, err
		}
	}
	if uint64(len(p)) < d.size {
		return m, 0, int(d.size) - len(p), nil
	}
	n, d.size = int(d.size), 0
	m, err = d.format.unwrap(p[:n:n])
	if err != nil {
		return m, 0, 0, err
	}
	return m, n, 0, nil
}

func (d *prefixedDecoder[M]) End(p []byte) (m M, ok bool, err error) {
	return m, false, unfinished(d.format.name(), p)
}
