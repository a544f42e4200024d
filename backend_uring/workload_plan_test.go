//go:build linux

package uring

import (
	"fmt"
	"math/rand/v2"
)

// plan is what one stream and its peer do.
type plan struct {
	receive, send int    // bytes that the stream receives, and sends, if nothing comes in between
	end           ending // how it ends
	seed          uint64
}

// ending is how a stream ends.
type ending int

const (
	inOrder     ending = iota // both send everything, then FIN
	closes                    // the stream closes when it has received everything
	detaches                  // the stream is detached half way, and its net.Conn goes on
	aborts                    // the stream aborts half way
	isReset                   // the peer resets half way
	pausedReset               // the stream pauses, and the peer resets
	lateReset                 // the peer sends FIN, and resets when the stream has seen that
	endings
)

func (e ending) String() string {
	return [...]string{"in order", "closes", "detaches", "aborts", "is reset", "is reset while paused", "is reset after FIN"}[e]
}

func newPlan(w *world) plan {
	size := func() int { return []int{1, 100, 3000, 40000}[w.rand.IntN(4)] + w.rand.IntN(100) }
	if w.config.BufferSize == 0 && w.rand.IntN(4) == 0 {
		size = func() int { return 300_000 + w.rand.IntN(1000) }
	}
	p := plan{receive: 1 + size(), send: size(), end: ending(w.rand.IntN(int(endings))), seed: w.rand.Uint64()}
	if w.storm {
		p.receive, p.send = 1+w.rand.IntN(100), w.rand.IntN(100)
		p.end = []ending{inOrder, pausedReset, lateReset, lateReset}[w.rand.IntN(4)]
	}
	if w.network == "unix" && (p.end == pausedReset || p.end == lateReset) {
		p.end = inOrder // a Unix socket cannot be reset
	}
	return p
}

func (p plan) rand(who uint64) *rand.Rand { return rand.New(rand.NewPCG(p.seed, who)) }

func (p plan) String() string {
	return fmt.Sprintf("%q, %d bytes in, %d out", p.end.String(), p.receive, p.send)
}
