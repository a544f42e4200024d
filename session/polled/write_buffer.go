package polled

import "github.com/tandem-io/tandem/frame"

// outbox is the write buffer of a MessageSession session: buf[head:] waits. What has gone leaves room at the front, which is
// reclaimed when it is as large as the limit: so no byte is moved more than once on average.
type outbox struct {
	buf     []byte
	head    int
	limit   int // bytes that may wait, but for one larger frame
	refused int // size of the frame for which there was no room last; 0: none
}

func (o *outbox) len() int      { return len(o.buf) - o.head }
func (o *outbox) bytes() []byte { return o.buf[o.head:] }

// advance drops n bytes from the front: they are somebody else's now.
func (o *outbox) advance(n int) {
	switch o.head += n; {
	case o.head < len(o.buf):
	case cap(o.buf) > 4*o.limit: // it has grown for one frame
		o.buf, o.head = nil, 0
	default:
		o.buf, o.head = o.buf[:0], 0
	}
}

// full reports whether there is no room for n bytes more. An empty buffer has room for any number.
func (o *outbox) full(n int) bool { return o.len() > 0 && o.len()+n > o.limit }

// put encodes m behind what waits, or reports that there is no room for it. A frame of the size that was refused last is
// refused without encoding it again; whatever that was, there is room when the buffer is empty.
func put[M any](o *outbox, codec frame.Codec[M], m M) (taken bool, err error) {
	if o.full(o.refused) {
		return false, nil
	}
	if o.head >= o.limit {
		o.buf = o.buf[:copy(o.buf, o.buf[o.head:])]
		o.head = 0
	}
	before := len(o.buf)
	p, err := codec.Append(o.buf, m)
	if err != nil {
		return false, err
	}
	if size := len(p) - before; o.full(size) {
		o.refused = size
		return false, nil
	}
	o.buf, o.refused = p, 0
	return true, nil
}
