package frame

// defaultMaxPayload is the default limit of a payload, in bytes.
const defaultMaxPayload = 16 << 20

// prefixed is a format in which the beginning of a frame determines its size.
type prefixed interface {
	name() string

	// measure returns the size of the frame that begins at p[0], which is positive. If p is too short for that, need is the
	// number of missing bytes, as in Decoder. A size above the limit is an error as soon as it is known, so that nobody
	// waits for the bytes.
	measure(p []byte) (size, need int, err error)

	// unwrap returns the message in a frame of that size.
	unwrap(frame []byte) ([]byte, error)
}

// prefixedDecoder is the Decoder of every prefixed format.
type prefixedDecoder struct {
	format prefixed
	size   int // size of the frame at the front; 0: not known yet
}

func (d *prefixedDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if d.size == 0 {
		d.size, need, err = d.format.measure(p)
		if need > 0 || err != nil {
			return nil, 0, need, err
		}
	}
	if len(p) < d.size {
		return nil, 0, d.size - len(p), nil
	}
	n, d.size = d.size, 0
	m, err = d.format.unwrap(p[:n:n])
	if err != nil {
		return nil, 0, 0, err
	}
	return m, n, 0, nil
}

func (d *prefixedDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(d.format.name(), p)
}
