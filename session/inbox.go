package session

import "github.com/tandem-io/tandem/backend"

// inbox holds the bytes of a stream that were received and not read: lent by the driver during a delivery, or else in
// one contiguous piece of memory of its own. Never both. A nil inbox is empty.
type inbox struct {
	pool *backend.Pool
	loop *backend.Counters // nil: nobody counts
	lent []byte            // the driver's, or nil
	kept *shared           // the memory behind lent, if a Take has made it ours
	mem  []byte            // the pool's: mem[r:w] is unread. nil: none
	r, w int

	unseen int // bytes that OnData has not been called for
	wanted int // bytes that are waited for in one piece, whatever the limits say; 0: none

	messages int     // lent to frame handlers; more than one if a handler passes on what is behind its message
	taken    *shared // mem, which a Take handed over meanwhile: held until the last of these handlers returns

	spent *[][]byte // parts of lent or taken that were read, and are to be poisoned when that ends; nil: none ever were
}

// lendMessage says that a message is lent until endMessage: its memory stays as it is, whatever is taken meanwhile.
func (b *inbox) lendMessage() { b.messages++ }

// endMessage ends the loan of a message that was decoded from p.
func (b *inbox) endMessage(p []byte) {
	backend.Poison(p)
	b.messages--
	if b.messages == 0 && b.taken != nil {
		b.poisonSpent()
		b.taken.put()
		b.taken = nil
	}
}

// largestPiece is about the most that comes at a time.
const largestPiece = 64 << 10

// smallestKept is from how many bytes on it is worth to take a driver's memory away instead of copying.
const smallestKept = 2 << 10

// bytes returns what is unread, valid until the next call that changes the inbox.
func (b *inbox) bytes() []byte {
	if b == nil {
		return nil
	}
	if b.mem != nil {
		return b.mem[b.r:b.w:b.w]
	}
	return b.lent
}

func (b *inbox) len() int {
	if b == nil {
		return 0
	}
	if b.mem != nil {
		return b.w - b.r
	}
	return len(b.lent)
}

// consume drops n bytes from the front. Their memory stays as it is until the end of the callback.
func (b *inbox) consume(n int) {
	if n == 0 {
		return
	}
	if b.mem == nil {
		if b.loop != nil && backend.Poisoning() {
			b.spend(b.lent[:n])
		}
		b.lent = b.lent[n:]
		return
	}
	b.r += n
}

// lend begins a delivery of p.
func (b *inbox) lend(p []byte) { b.lent = p[:len(p):len(p)] }

// endLoan copies what is left of the lent bytes before the driver takes their memory back.
func (b *inbox) endLoan() {
	if b == nil {
		return
	}
	p := b.lent
	b.lent = nil
	if len(p) > 0 {
		b.push(p)
		if b.loop != nil {
			backend.Poison(p)
		}
	}
	b.poisonSpent()
	if b.kept != nil {
		b.kept.put()
		b.kept = nil
	}
}

// spend notes that p was read. Only if poisoning is on.
func (b *inbox) spend(p []byte) {
	if b.spent == nil {
		b.spent = new([][]byte)
	}
	*b.spent = append(*b.spent, p)
}

// poisonSpent poisons what was lent out of memory that a Buffer may go on to show another part of.
func (b *inbox) poisonSpent() {
	if b.spent == nil {
		return
	}
	for _, p := range *b.spent {
		backend.Poison(p)
	}
	clear(*b.spent)
	*b.spent = (*b.spent)[:0]
}

// renew moves what is unread to other memory and gives the old back, which poisons it. Not while a message is lent.
func (b *inbox) renew() {
	if b == nil || b.mem == nil || b.messages > 0 {
		return
	}
	next := b.pool.Get(len(b.mem))
	n := copy(next, b.mem[b.r:b.w])
	b.pool.Put(b.mem)
	b.mem, b.r, b.w = next, 0, n
}

// push copies p behind what is unread. Not during a callback of the stream, which may have borrowed the memory.
func (b *inbox) push(p []byte) {
	unread := b.len()
	switch {
	case b.mem == nil:
		b.mem, b.r, b.w = b.pool.Get(len(p)), 0, 0
	case len(b.mem)-b.w >= len(p):
	case len(b.mem) >= unread+len(p) && b.r >= unread:
		b.w = copy(b.mem, b.mem[b.r:b.w])
		b.r = 0
	default:
		room := 2 * unread
		if b.wanted > 0 {
			room = min(room, b.wanted+largestPiece) // one message, and what comes with its last bytes
		}
		next := b.pool.Get(max(unread+len(p), room))
		n := copy(next, b.mem[b.r:b.w])
		b.pool.Put(b.mem)
		b.mem, b.r, b.w = next, 0, n
	}
	b.w += copy(b.mem[b.w:], p)
	if b.loop != nil {
		b.loop[backend.BytesCopied] += uint64(len(p))
	}
}

// take hands over the first n bytes, without a copy where that is worth it.
func (b *inbox) take(n int, keep func() func()) *Buffer {
	p := b.bytes()[:n:n]
	switch {
	case n < smallestKept:
	case b.mem != nil && n == b.w-b.r:
		m := newShared(b.pool, b.mem)
		if b.messages > 0 {
			m.refs.Add(1)
			b.taken = m
			if backend.Poisoning() {
				b.spend(b.mem[:b.r])
			}
		} else {
			backend.Poison(b.mem[:b.r])
		}
		b.mem, b.r, b.w = nil, 0, 0
		return m.buffer(p)
	case b.mem == nil && (b.kept != nil || b.keepLent(keep)):
		b.lent = b.lent[n:]
		b.kept.refs.Add(1)
		return b.kept.buffer(p)
	}
	mem := b.pool.Get(n)
	copy(mem, p)
	b.loop[backend.BytesCopied] += uint64(n)
	b.consume(n)
	return newShared(b.pool, mem).buffer(mem[:n])
}

// keepLent makes the lent memory ours for good, if the driver can spare it.
func (b *inbox) keepLent(keep func() func()) bool {
	release := keep()
	if release == nil {
		return false
	}
	b.kept = &shared{release: release}
	b.kept.refs.Store(1) // until the end of the loan
	return true
}

// keeps reports whether bytes are in memory of its own.
func (b *inbox) keeps() bool { return b != nil && b.mem != nil }

// isIdle reports whether nothing of it is in use: it may become another stream's.
func (b *inbox) isIdle() bool {
	return b.lent == nil && b.mem == nil && b.messages == 0 && b.wanted == 0 && b.kept == nil && b.taken == nil
}

// tidy gives the memory back when all was read. Not during a callback.
func (b *inbox) tidy() {
	if b.mem != nil && b.r == b.w {
		b.drop()
	}
}

// drop forgets what is unread.
func (b *inbox) drop() {
	b.lent = nil
	if b.mem != nil {
		b.pool.Put(b.mem)
		b.mem, b.r, b.w = nil, 0, 0
	}
}
