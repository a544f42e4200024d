package frame

import (
	"bytes"
	"math"
)

const (
	cobsName  = "COBS"
	cobsBlock = 254 // bytes of data in the largest block
)

// COBS is consistent overhead byte stuffing, with a zero behind each frame, as Cheshire and Baker describe it. Its zero value
// is ready to use.
//
//	| block of 1 to 255 bytes      | ... | 00 |
//	| n, and n - 1 bytes without 00|     |    |
//
// A message is the data of its blocks, with a zero behind each block but the last and those with n = 255. So no byte of a
// frame but its last is zero, and a receiver that has lost its place finds it again. A message of more than 254 bytes takes
// one byte more for each 254.
//
// A message from a Decoder that has no zero and at most 254 bytes refers to the bytes it was decoded from. Any other one is
// decoded into memory of the Decoder, which has grown to its size and is used again: such a message is valid until the next
// call of Decode, which keeps at most 64 KiB of that memory. A block that ends behind its frame is ErrMalformed. A
// zero alone is an empty message, because some senders begin with one. Each byte is searched once for the zero, however many
// calls a message takes.
//
// Append writes an empty message as 01 00, and no empty block behind one of 255 bytes that is the last.
type COBS struct {
	// MaxMessage is the size of the largest message, in bytes, in both directions. 0: 64 KiB. If it is negative, all
	// messages must be empty. A larger one is ErrTooLarge, at the latest when as many bytes are received as the largest
	// one can take.
	MaxMessage int
}

func (c COBS) limit() int {
	return min(limit(c.MaxMessage, defaultMaxToken, 0), math.MaxInt/(cobsBlock+1)*cobsBlock-2)
}

// NewDecoder returns a Decoder for the bytes of one peer.
func (c COBS) NewDecoder() Decoder[[]byte] { return &cobsDecoder{most: c.limit(), size: c.MaxSize()} }

// MaxSize is MaxMessage, a byte for each 254 of it, and two.
func (c COBS) MaxSize() int { return c.limit() + c.limit()/cobsBlock + 2 }

// Append appends the frame of m to dst. A message larger than MaxMessage is ErrTooLarge.
func (c COBS) Append(dst, m []byte) ([]byte, error) {
	if most := c.limit(); len(m) > most {
		return dst, tooLarge(cobsName, most, "message", uint64(len(m)), uint64(most))
	}
	for {
		data := m[:min(len(m), cobsBlock)]
		zero := bytes.IndexByte(data, 0)
		if zero >= 0 {
			data = data[:zero]
		}
		dst = append(dst, byte(len(data)+1))
		dst = append(dst, data...)
		m = m[len(data):]
		if zero >= 0 {
			m = m[1:]
		} else if len(m) == 0 {
			return append(dst, 0), nil
		}
	}
}

type cobsDecoder struct {
	most    int    // limit of a message
	size    int    // limit of a frame
	scanned int    // bytes at the front that have no zero
	memory  []byte // of the last message that was not decoded in place
}

func (d *cobsDecoder) Decode(p []byte) (m []byte, n, need int, err error) {
	if cap(d.memory) > defaultMaxToken {
		d.memory = nil
	}
	window := p[:min(len(p), d.size)]
	i := bytes.IndexByte(window[d.scanned:], 0)
	if i < 0 {
		d.scanned = len(window)
		if len(window) == d.size {
			return nil, 0, 0, d.tooLarge()
		}
		return nil, 0, 1, nil
	}
	blocks := p[:d.scanned+i]
	n, d.scanned = len(blocks)+1, 0
	if len(blocks) == 0 {
		return p[:0:0], n, 0, nil
	}
	if m = blocks[1:len(blocks):len(blocks)]; int(blocks[0]) != len(blocks) {
		m, err = d.join(blocks)
	}
	if err == nil && len(m) > d.most {
		err = d.tooLarge()
	}
	if err != nil {
		return nil, 0, 0, err
	}
	return m, n, 0, nil
}

// join returns the data of several blocks.
func (d *cobsDecoder) join(blocks []byte) ([]byte, error) {
	if cap(d.memory) < len(blocks) {
		d.memory = make([]byte, max(len(blocks), min(2*cap(d.memory), defaultMaxToken, d.size)))
	}
	m := d.memory[:0]
	for i := 0; ; {
		end := i + int(blocks[i])
		if end > len(blocks) {
			return nil, malformed(cobsName, i, "a block of %d bytes, but only %d are left of its frame", blocks[i], len(blocks)-i)
		}
		m = append(m, blocks[i+1:end]...)
		if end == len(blocks) {
			return m[:len(m):len(m)], nil
		}
		if blocks[i] <= cobsBlock {
			m = append(m, 0)
		}
		i = end
	}
}

func (d *cobsDecoder) tooLarge() error { return tooMany(cobsName, d.size-1, "message", d.most) }

func (d *cobsDecoder) End(p []byte) ([]byte, bool, error) {
	return nil, false, unfinished(cobsName, p)
}
