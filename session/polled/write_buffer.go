package polled

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame"
)

// outgoing is the write buffer of a MessageSession. buf[head:] has not been sent. The room in front of it is reclaimed when
// it has the size of the limit, so that each byte is moved once on average, at most.
type outgoing struct {
	buf     []byte
	head    int
	limit   int // bytes that may be buffered, unless there is a single larger message
	refused int // size of the message that was refused last, for lack of room; 0: none was
}

func (o *outgoing) len() int      { return len(o.buf) - o.head }
func (o *outgoing) bytes() []byte { return o.buf[o.head:] }

// drop empties the buffer and releases its memory.
func (o *outgoing) drop() { o.buf, o.head = nil, 0 }

// advance removes n bytes from the front.
func (o *outgoing) advance(n int) {
	backend.Poison(o.buf[o.head : o.head+n])
	switch o.head += n; {
	case o.head < len(o.buf):
	case cap(o.buf) > 4*o.limit: // it grew for a single large message
		o.drop()
	default:
		o.buf, o.head = o.buf[:0], 0
	}
}

// full reports whether there is no room for n more bytes. An empty buffer has room for any number.
func (o *outgoing) full(n int) bool { return o.len() > 0 && o.len()+n > o.limit }

// put appends the encoded m, or reports that there is no room for it. After a refusal it does not encode again until
// there is room for a message of the refused size; an empty buffer always has room.
func put[M any](o *outgoing, codec frame.Codec[M], m M) (taken bool, err error) {
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
