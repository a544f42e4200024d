package difftest

import "math/rand/v2"

// weights say how often Random chooses a kind. What ends a stream is rare, so that programs go on for a while.
var weights = [kinds]int{
	Write: 8, Writev: 5, WriteNotify: 8, Echo: 6, Copy: 5, Flush: 2, CloseWrite: 1, Close: 1, Abort: 1, AbortWith: 1, Detach: 3,
	Pause: 6, Resume: 8, Peek: 3, Next: 5, Discard: 3, Read: 4, Take: 5, SetHandler: 5, After: 3, Stopped: 1, Every: 2, Post: 3,
	Idle: 1, Panic: 1, PeerWrite: 24, PeerFinish: 3, PeerReset: 3, PeerStop: 6, PeerRead: 5,
	ConnWrite: 3, ConnRead: 4, ConnCloseWrite: 1, ConnClose: 1, ConnDeadline: 2,
}

var placeWeights = [places]int{
	OffLoop: 8, InPost: 10, InTimer: 2, InOpen: 2, InData: 8, InEOF: 1, InWritable: 2, InNotify: 2, InClose: 1,
}

// Random returns a program.
func Random(r *rand.Rand) Program {
	var p Program
	for range 1 + r.IntN(maxStreams) {
		b := [...]byte{0, byte(r.Uint32()), byte(r.Uint32())}
		if r.IntN(2) == 0 {
			b[1] &^= 1 << 6 // the default WriteBufferLimit
		}
		p.Streams = append(p.Streams, Decode(b[:]).Streams[0])
	}
	for range 2 + r.IntN(maxOps-8) {
		p.Ops = append(p.Ops, Op{
			Kind: Kind(choose(r, weights[:])), Place: Place(choose(r, placeWeights[:])), Stream: r.IntN(len(p.Streams)),
			With: r.IntN(5) < 2, Join: r.IntN(4) == 0, Arg: byte(r.Uint32()),
		})
	}
	return p
}

// choose returns an index, each as often as its weight says.
func choose(r *rand.Rand, all []int) int {
	total := 0
	for _, w := range all {
		total += w
	}
	n := r.IntN(total)
	for i, w := range all {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}
