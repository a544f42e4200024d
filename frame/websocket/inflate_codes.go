package websocket

import "sync"

const (
	mostLiterals  = 286
	mostDistances = 30
	endOfBlock    = 256
)

// Lengths and distances: the least one of each symbol, and how many bits are added to it. RFC 1951, section 3.2.5.
var (
	lengthBase = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthBits = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}

	distanceBase = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceBits = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// codeOrder is the order in which the lengths of the codes for lengths come. RFC 1951, section 3.2.7.
var codeOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// fixedCodes are those of RFC 1951, section 3.2.6: for literals and lengths, and for distances.
var fixedCodes = sync.OnceValue(func() *[2]huffman {
	var lengths [mostSymbols]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	codes := new([2]huffman)
	codes[0].build(lengths[:])
	for i := range lengths[:32] {
		lengths[i] = 5
	}
	codes[1].build(lengths[:32])
	return codes
})

// readCodes reads the codes of a block. RFC 1951, section 3.2.7.
func (z *inflater) readCodes() error {
	z.refill()
	sizes, err := z.take(14)
	if err != nil {
		return err
	}
	literals, distances, orders := int(sizes&31)+257, int(sizes>>5&31)+1, int(sizes>>10)+4
	if literals > mostLiterals || distances > mostDistances {
		return z.corrupt("a block with too many codes")
	}
	var lengths [mostLiterals + mostDistances]uint8
	for _, symbol := range codeOrder[:orders] {
		z.refill()
		length, err := z.take(3)
		if err != nil {
			return err
		}
		lengths[symbol] = uint8(length)
	}
	if !z.literals.build(lengths[:len(codeOrder)]) {
		return z.corrupt("a block whose lengths of codes have no code")
	}
	if err := z.readLengths(lengths[:literals+distances]); err != nil {
		return err
	}
	if !z.literals.build(lengths[:literals]) || !z.distances.build(lengths[literals:literals+distances]) {
		return z.corrupt("a block without a code")
	}
	return nil
}

// readLengths reads the lengths of codes, by the code in literals.
func (z *inflater) readLengths(lengths []uint8) error {
	for i := 0; i < len(lengths); {
		z.refill()
		symbol, length := z.literals.decode(z.bits)
		if length == 0 || length > z.n {
			return z.wrongCode()
		}
		_, _ = z.take(length)
		if symbol < 16 {
			lengths[i] = uint8(symbol)
			i++
			continue
		}
		repeat := [...]struct{ base, bits uint }{{3, 2}, {3, 3}, {11, 7}}[symbol-16]
		more, err := z.take(repeat.bits)
		switch count := int(repeat.base + more); {
		case err != nil:
			return err
		case symbol == 16 && i == 0 || count > len(lengths)-i:
			return z.corrupt("a repetition where there is nothing to repeat")
		default:
			value := uint8(0)
			if symbol == 16 {
				value = lengths[i-1]
			}
			for range count {
				lengths[i] = value
				i++
			}
		}
	}
	return nil
}
