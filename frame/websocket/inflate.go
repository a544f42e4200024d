package websocket

import (
	"encoding/binary"
	"sync"
)

// inflater inflates one message, RFC 1951, step by step: compress/flate cannot stop where its input has not ended, and a few
// kilobytes may take it many milliseconds. What was inflated is all the history there is, because no context is kept between
// messages.
type inflater struct {
	in    []byte  // the message as it was sent; deflateTail follows
	owned *[]byte // the memory of in; nil: it is the frame's

	pos  int    // bytes of in, and of the tail, that are in bits or were used
	bits uint64 // the next bits, from the lowest one on
	n    uint   // how many there are

	out    []byte
	memory *[]byte // that out was begun in; nil: out has not begun
	most   int     // limit of out
	series int     // where in out the present series of blocks began, which refers to nothing before

	state               blockState
	last                bool // whether the present block is the last one of its series
	stored              int  // bytes of a stored block that are to come
	work                int  // what is left of this step
	literals, distances *huffman
	own                 [2]huffman
}

// blockState is what comes next.
type blockState uint8

const (
	blockHeader blockState = iota
	blockStored
	blockCoded
)

const (
	// stepWork is how much is done in a step: bytes that are inflated, and what takes as long as so many.
	stepWork = 128 << 10

	smallestRoom = 4 << 10 // bytes that are allocated first

	headerWork = 16      // for the header of any block
	tablesWork = 2 << 10 // for the codes of a block that has its own
)

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// newInflater returns an inflater of p, which gives most bytes at most.
func newInflater(p []byte, owned *[]byte, most int) *inflater {
	z := inflaters.Get().(*inflater)
	z.in, z.owned, z.most = p, owned, most
	return z
}

// free gives all memory back but that of out, if the message is wanted.
func (z *inflater) free(wanted bool) (message *[]byte) {
	if wanted {
		message, *z.memory = z.memory, z.out
	} else {
		z.restart()
	}
	if z.owned != nil {
		putMemory(z.owned)
	}
	own := z.own
	*z = inflater{own: own}
	inflaters.Put(z)
	return message
}

// keep copies the message, because the frame is about to go.
func (z *inflater) keep() {
	if z.owned == nil {
		z.owned = getMemory()
		*z.owned = append(*z.owned, z.in...)
		z.in = *z.owned
	}
}

// restart gives the memory of out back, and begins anew.
func (z *inflater) restart() {
	if z.memory != nil {
		*z.memory = z.out
		putMemory(z.memory)
	}
	z.memory, z.out = nil, nil
	z.pos, z.bits, z.n, z.series, z.state, z.last, z.stored = 0, 0, 0, 0, blockHeader, false, 0
}

// step goes on, and reports whether the message has ended.
func (z *inflater) step() (done bool, err error) {
	if z.memory == nil {
		z.memory = getMemory()
		z.out = (*z.memory)[:0:min(cap(*z.memory), z.most)]
	}
	for z.work = stepWork; z.work > 0 && err == nil; {
		switch z.state {
		case blockHeader:
			if z.ended() {
				return true, nil
			}
			err = z.header()
		case blockStored:
			err = z.copyStored()
		case blockCoded:
			err = z.decode()
		}
	}
	return false, err
}

// ended reports whether the message ends in front of a block: behind the tail, or, if the block before said that it was the
// last one, in front of it. More may follow such a block: RFC 7692, section 7.2.3.4.
func (z *inflater) ended() bool {
	if !z.last {
		return z.pos == len(z.in)+len(deflateTail) && z.n == 0
	}
	z.align()
	z.last, z.series = false, len(z.out)
	return z.pos >= len(z.in)
}

// header reads the header of a block. RFC 1951, section 3.2.3.
func (z *inflater) header() error {
	z.work -= headerWork
	z.refill()
	kind, err := z.take(3)
	if err != nil {
		return err
	}
	z.last = kind&1 != 0
	switch kind >> 1 {
	case 0:
		return z.beginStored()
	case 1:
		codes := fixedCodes()
		z.state, z.literals, z.distances = blockCoded, &codes[0], &codes[1]
		return nil
	case 2:
		z.work -= tablesWork
		z.state, z.literals, z.distances = blockCoded, &z.own[0], &z.own[1]
		return z.readCodes()
	}
	return z.corrupt("a block of a reserved kind")
}

// beginStored is RFC 1951, section 3.2.4.
func (z *inflater) beginStored() error {
	z.align()
	z.refill()
	length, err := z.take(16)
	if err != nil {
		return err
	}
	inverse, err := z.take(16)
	if err != nil {
		return err
	}
	if length != inverse^0xffff {
		return z.corrupt("a stored block with two lengths")
	}
	z.align()
	z.state, z.stored = blockStored, int(length)
	return nil
}

func (z *inflater) copyStored() error {
	for z.stored > 0 {
		if z.work <= 0 {
			return nil
		}
		if len(z.out) == z.most {
			return z.overflow()
		}
		p := []byte(deflateTail)[min(max(z.pos-len(z.in), 0), len(deflateTail)):]
		if z.pos < len(z.in) {
			p = z.in[z.pos:]
		}
		n := min(z.stored, len(p), z.most-len(z.out), z.work)
		if n == 0 {
			return z.truncated()
		}
		z.grow(n)
		z.out = append(z.out, p[:n]...)
		z.pos += n
		z.stored -= n
		z.work -= n
	}
	z.state = blockHeader
	return nil
}

// grow makes room for k bytes more, which are within the limit.
func (z *inflater) grow(k int) {
	if cap(z.out)-len(z.out) < k {
		room := min(max(2*cap(z.out), len(z.out)+k, smallestRoom), z.most)
		z.out = append(make([]byte, 0, room), z.out...)
	}
}

// refill makes n at least 56, if so many bits are left.
func (z *inflater) refill() { z.bits, z.n, z.pos = z.refilled(z.bits, z.n, z.pos) }

func (z *inflater) refilled(next uint64, n uint, pos int) (uint64, uint, int) {
	if pos+8 <= len(z.in) {
		next |= binary.LittleEndian.Uint64(z.in[pos:]) << n // bits beyond the whole bytes come again
		whole := (63 - n) >> 3
		return next, n + whole<<3, pos + int(whole)
	}
	for ; n <= 56 && pos < len(z.in)+len(deflateTail); pos++ {
		b := byte(0)
		if pos < len(z.in) {
			b = z.in[pos]
		} else {
			b = deflateTail[pos-len(z.in)]
		}
		next |= uint64(b) << n
		n += 8
	}
	return next, n, pos
}

// take takes the next k bits, at most 16. There is a refill for each three of them.
func (z *inflater) take(k uint) (uint, error) {
	if k > z.n {
		return 0, z.truncated()
	}
	v := uint(z.bits & (1<<k - 1))
	z.bits >>= k
	z.n -= k
	return v, nil
}

// align drops the bits up to the next byte, and gives the others back.
func (z *inflater) align() {
	z.pos -= int(z.n >> 3)
	z.bits, z.n = 0, 0
}

func (z *inflater) corrupt(what string) error {
	return invalid(min(z.pos-int(z.n>>3), len(z.in)), "cannot inflate: %s", what)
}

func (z *inflater) wrongCode() error {
	if z.n < mostCode {
		return z.truncated()
	}
	return z.corrupt("what is no code")
}

func (z *inflater) truncated() error { return z.corrupt("the message ends within a block") }
func (z *inflater) overflow() error  { return tooLarge(0, "an inflated message", z.most) }
