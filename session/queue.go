package session

import "github.com/tandem-io/tandem/backend"

// segment is a piece of the queue: memory of the pool, which later writes fill up, or a Buffer that was handed over.
type segment struct {
	bytes []byte
	owner *shared // nil: memory of the pool
}

// queue holds what was written and the kernel has not taken. Memory that the kernel may be reading stays where it is: bytes
// are only appended behind those, in the capacity of the last segment or in a new one. A nil queue is empty.
type queue struct {
	pool  *backend.Pool
	segs  []segment // segs[head:] are in use
	head  int
	skip  int // bytes of segs[head] that were sent
	n     int // bytes queued
	first [2]segment
	away  bool   // another goroutine than the loop's has taken it
	spare []byte // of smallestSegment, for the next segment: most messages are small; nil: none
}

// len is how many bytes are queued.
func (q *queue) len() int {
	if q == nil {
		return 0
	}
	return q.n
}

const (
	smallestSegment = 512
	largestSegment  = 64 << 10
)

// push copies p behind what is queued.
func (q *queue) push(p []byte) {
	q.n += len(p)
	size := smallestSegment
	if last := len(q.segs) - 1; last >= q.head {
		if s := &q.segs[last]; s.owner == nil {
			k := min(len(p), cap(s.bytes)-len(s.bytes))
			s.bytes = append(s.bytes, p[:k]...)
			p = p[k:]
			size = min(2*cap(s.bytes), largestSegment)
		}
	}
	for len(p) > 0 {
		b := q.memory(max(size, min(len(p), largestSegment)))
		k := copy(b, p)
		q.add(segment{bytes: b[:k]})
		p = p[k:]
	}
}

// pushShared puts p itself, which m has, behind what is queued. The queue is a holder of m from now on.
func (q *queue) pushShared(p []byte, m *shared) {
	q.n += len(p)
	q.add(segment{bytes: p, owner: m})
}

func (q *queue) add(s segment) {
	if q.segs == nil {
		q.segs = q.first[:0]
	}
	q.segs = append(q.segs, s)
	if len(q.segs) == len(q.first)+1 {
		clear(q.first[:]) // they have moved
	}
}

// vector appends the queued pieces to bufs, at most backend.MaxVector.
func (q *queue) vector(bufs [][]byte) [][]byte {
	if q == nil {
		return bufs
	}
	skip := q.skip
	for i := q.head; i < len(q.segs) && len(bufs) < backend.MaxVector; i++ {
		bufs = append(bufs, q.segs[i].bytes[skip:])
		skip = 0
	}
	return bufs
}

// advance drops n bytes from the front: they were sent.
func (q *queue) advance(n int) {
	q.n -= n
	n += q.skip
	for q.head < len(q.segs) && n >= len(q.segs[q.head].bytes) {
		n -= len(q.segs[q.head].bytes)
		q.free(&q.segs[q.head])
		q.head++
	}
	q.skip = n
	if s := q.head; n > 0 && backend.Poisoning() && (q.segs[s].owner == nil || !q.segs[s].owner.common) {
		backend.Poison(q.segs[s].bytes[:n])
	}
	if q.head == len(q.segs) {
		q.segs, q.head, q.skip = q.segs[:0], 0, 0
	} else if q.head > 64 && q.head > len(q.segs)/2 {
		k := copy(q.segs, q.segs[q.head:])
		clear(q.segs[k:])
		q.segs, q.head = q.segs[:k], 0
	}
}

func (q *queue) free(s *segment) {
	switch {
	case s.owner != nil:
		s.owner.end(s.bytes)
	case q.spare == nil && cap(s.bytes) == smallestSegment:
		q.spare = s.bytes[:smallestSegment]
		backend.Poison(q.spare)
	default:
		q.pool.Put(s.bytes)
	}
	*s = segment{}
}

// memory returns memory for n bytes or more, up to its capacity.
func (q *queue) memory(n int) []byte {
	b := q.spare
	if n > smallestSegment || b == nil {
		return q.pool.Get(n)
	}
	q.spare = nil
	if backend.Poisoning() {
		backend.CheckPoison(b, "memory of a queue")
	}
	return b
}

// abandon forgets everything, and frees nothing: the kernel may never be done with it.
func (q *queue) abandon() {
	if q != nil {
		clear(q.segs)
		q.segs, q.head, q.skip, q.n = nil, 0, 0, 0
	}
}

// drop frees everything. The kernel must be done with it.
func (q *queue) drop() {
	if q == nil {
		return
	}
	for i := q.head; i < len(q.segs); i++ {
		q.free(&q.segs[i])
	}
	q.abandon()
}
