package websocket

import "math/bits"

const (
	mostCode    = 15 // bits of the longest code. RFC 1951, section 3.2.7
	rootBits    = 9  // codes up to this length are looked up
	mostSymbols = 288
)

// huffman decodes the codes of one alphabet. RFC 1951, section 3.2.2.
type huffman struct {
	root    [1 << rootBits]uint16 // by the next bits: symbol<<4 | length of its code; 0: the code is longer, or none
	count   [mostCode + 1]uint16  // codes of each length
	symbols [mostSymbols]uint16   // in the order of their codes
}

// build takes the length of the code of each symbol, 0 for none, and reports whether these are the lengths of a code: each
// sequence of bits begins with one code, unless there is no code at all, or a single one of one bit.
func (h *huffman) build(lengths []uint8) bool {
	h.count = [mostCode + 1]uint16{}
	for _, length := range lengths {
		h.count[length]++
	}
	used := len(lengths) - int(h.count[0])
	h.count[0] = 0
	var next [mostCode + 1]int // where in symbols those of a length go
	left := 1
	for length := 1; length <= mostCode; length++ {
		if left = 2*left - int(h.count[length]); left < 0 {
			return false
		}
		next[length] = next[length-1] + int(h.count[length-1])
	}
	if left > 0 && used > 0 && (used > 1 || h.count[1] != 1) {
		return false
	}
	for symbol, length := range lengths {
		if length != 0 {
			h.symbols[next[length]] = uint16(symbol)
			next[length]++
		}
	}
	h.fillRoot()
	return true
}

// fillRoot enters the short codes. They arrive with their first bit in the lowest one.
func (h *huffman) fillRoot() {
	h.root = [1 << rootBits]uint16{}
	code, index := 0, 0
	for length := 1; length <= rootBits; length++ {
		for range h.count[length] {
			entry := h.symbols[index]<<4 | uint16(length)
			for i := int(bits.Reverse16(uint16(code)) >> (16 - length)); i < len(h.root); i += 1 << length {
				h.root[i] = entry
			}
			code++
			index++
		}
		code <<= 1
	}
}

// decode decodes the code at the front of next. length is 0 if there is none.
func (h *huffman) decode(next uint64) (symbol, length uint) {
	if e := uint(h.root[next&(1<<rootBits-1)]); e != 0 {
		return e >> 4, e & 15
	}
	return h.long(next)
}

// long decodes a code that is not in root.
func (h *huffman) long(next uint64) (symbol, length uint) {
	code, first, index := 0, 0, 0
	for length := 1; length <= mostCode; length++ {
		code |= int(next & 1)
		next >>= 1
		count := int(h.count[length])
		if code < first+count {
			return uint(h.symbols[index+code-first]), uint(length)
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0
}
