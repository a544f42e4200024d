package websocket

// decode reads symbols of a block, until that or the step ends. RFC 1951, section 3.2.3.
func (z *inflater) decode() error {
	for z.work > 0 {
		symbol, err := z.readLiterals()
		switch {
		case err != nil:
			return err
		case symbol == endOfBlock:
			z.state = blockHeader
			return nil
		case symbol > endOfBlock:
			if err := z.copyMatch(symbol - endOfBlock - 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// readLiterals appends literals, and returns the first symbol that is none. If the step ends before, that is a literal.
func (z *inflater) readLiterals() (symbol uint, err error) {
	next, n, pos, out := z.bits, z.n, z.pos, z.out
	work := z.work
	for ; work > 0; work-- {
		if n < 48 { // as many as a length and a distance take
			next, n, pos = z.refilled(next, n, pos)
		}
		var length uint
		if symbol, length = z.literals.decode(next); length == 0 || length > n {
			z.bits, z.n, z.pos, z.out = next, n, pos, out
			return symbol, z.wrongCode()
		}
		next >>= length
		n -= length
		if symbol >= endOfBlock {
			break
		}
		if len(out) == cap(out) {
			if z.out = out; len(out) == z.most {
				return symbol, z.overflow()
			}
			z.grow(1)
			out = z.out
		}
		out = append(out, byte(symbol))
	}
	z.bits, z.n, z.pos, z.out, z.work = next, n, pos, out, work
	return symbol, nil
}

// copyMatch appends what was there before, of a symbol for a length.
func (z *inflater) copyMatch(symbol uint) error {
	if symbol >= uint(len(lengthBase)) {
		return z.corrupt("a length that does not exist")
	}
	more, err := z.take(uint(lengthBits[symbol]))
	if err != nil {
		return err
	}
	length := int(lengthBase[symbol]) + int(more)
	symbol, size := z.distances.decode(z.bits)
	if size == 0 || size > z.n {
		return z.wrongCode()
	}
	z.bits >>= size
	z.n -= size
	if symbol >= uint(len(distanceBase)) {
		return z.corrupt("a distance that does not exist")
	}
	if more, err = z.take(uint(distanceBits[symbol])); err != nil {
		return err
	}
	distance, begin := int(distanceBase[symbol])+int(more), len(z.out)
	switch {
	case distance > begin-z.series:
		return z.corrupt("a distance that reaches to before the message")
	case length > z.most-begin:
		return z.overflow()
	}
	z.grow(length)
	z.work -= length
	z.out = z.out[:begin+length]
	for at := begin; at < len(z.out); { // what is copied may be what was copied just now
		at += copy(z.out[at:], z.out[begin-distance:at])
	}
	return nil
}
