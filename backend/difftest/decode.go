package difftest

// The bytes of a program:
//
//	streams-1 │ for each stream: flags, limits │ for each operation: kind, place and stream, argument
//
// What is missing is zero, and numbers that are too large wrap around, so that every byte string is a program. What does
// not fit the state of a stream when its turn comes is left out by plan.

const (
	maxStreams = 3
	maxOps     = 48
)

// Bits of the byte behind an operation's kind, above the place.
const (
	streamShift = 4
	withBit     = 0x40
	joinBit     = 0x80
)

// Decode makes a program of any bytes.
func Decode(b []byte) Program {
	next := func() (c byte) {
		if len(b) > 0 {
			c, b = b[0], b[1:]
		}
		return c
	}
	var p Program
	for range 1 + int(next())%maxStreams {
		flags, limits := next(), next()
		is := func(bit int) bool { return flags>>bit&1 != 0 }
		p.Streams = append(p.Streams, Config{
			Unix: is(0), Dialled: is(1), AllowHalfClose: is(2), ReadWhileBlocked: is(3), Tight: is(4), Keep: is(5),
			SmallQueue: is(6), SmallBudget: is(7), ReadLimit: readLimits[limits&3], HighWater: highWaters[limits>>2&3],
		})
	}
	for len(b) > 0 && len(p.Ops) < maxOps {
		kind, where, arg := next(), next(), next()
		p.Ops = append(p.Ops, Op{
			Kind: Kind(kind % byte(kinds)), Place: Place(where & 0xf % byte(places)), Stream: int(where>>streamShift&3) % len(p.Streams),
			With: where&withBit != 0, Join: where&joinBit != 0, Arg: arg,
		})
	}
	return p
}

// Encode returns bytes of which Decode makes p.
func (p Program) Encode() []byte {
	b := []byte{byte(len(p.Streams) - 1)}
	for _, c := range p.Streams {
		flags, limits := byte(0), byte(0)
		for i, set := range []bool{
			c.Unix, c.Dialled, c.AllowHalfClose, c.ReadWhileBlocked, c.Tight, c.Keep, c.SmallQueue, c.SmallBudget,
		} {
			if set {
				flags |= 1 << i
			}
		}
		for i := range readLimits {
			if readLimits[i] == c.ReadLimit {
				limits |= byte(i)
			}
			if highWaters[i] == c.HighWater {
				limits |= byte(i) << 2
			}
		}
		b = append(b, flags, limits)
	}
	for _, o := range p.Ops {
		where := byte(o.Place) | byte(o.Stream)<<streamShift
		if o.With {
			where |= withBit
		}
		if o.Join {
			where |= joinBit
		}
		b = append(b, byte(o.Kind), where, o.Arg)
	}
	return b
}
