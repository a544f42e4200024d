package frame

// defaultMaxPayload is the default limit of a payload, in bytes.
const defaultMaxPayload = 16 << 20

// prefixed is a format in which the beginning of a frame determines its size.
type prefixed interface {
	name() string

	// measure returns the size of the frame that begins at p[0], which is positive. If p is too short for that, need is the
	// number of missing bytes, as in Decoder. A size above the limit is an ErrTooLarge as soon as it is known, so that
	// nobody waits for the bytes. It is returned with that error, and with no other.
	measure(p []byte) (size uint64, need int, err error)

	// unwrap returns the message in a frame of that size.
	unwrap(frame []byte) ([]byte, error)
}

// newDecoder returns a Decoder of a prefixed format. With skip, it goes on behind a frame above the limit.
func newDecoder(format prefixed, skip bool) Decoder[[]byte] {
	return skipping[[]byte](&prefixedDecoder{format: format}, skip)
}

// prefixedDecoder is the Decoder of a prefixed format.
type prefixedDecoder struct {
	format prefixed
	frameSize
}

func (d *prefixedDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if d.size == 0 {
		d.size, need, err = d.format.measure(p)
		if need > 0 || err != nil {
			return nil, 0, need, err
		}
	}
	if n, need = d.whole(p); need > 0 {
		return nil, 0, need, nil
	}
	m, err = d.format.unwrap(p[:n:n])
	if err != nil {
		return nil, 0, 0, err
	}
	return m, n, 0, nil
}

func (d *prefixedDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(d.format.name(), p)
}

// frameSize is the size of the frame at the front.
type frameSize struct {
	size uint64 // 0: not known yet
}

// whole returns the size of the frame if p has all of it, and forgets it, because the next frame comes then. Otherwise it
// returns how many bytes are missing.
func (f *frameSize) whole(p []byte) (n, need int) {
	if uint64(len(p)) < f.size {
		return 0, int(f.size) - len(p)
	}
	n, f.size = int(f.size), 0
	return n, 0
}

// refused is that of sized.
func (f *frameSize) refused() (size uint64) {
	size, f.size = f.size, 0
	return size
}
