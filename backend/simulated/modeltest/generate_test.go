package modeltest

import (
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// sizes are arguments of operations: numbers of bytes, or of microseconds.
var sizes = []int{0, 1, 3, 10, 64, 99, 300, 1000, 2500, 5000, 9000, 20000, 70000, 150001}

var (
	streamNames = slices.Sorted(maps.Keys(streamOps))
	worldNames  = slices.Sorted(maps.Keys(worldOps))
)

// programs makes programs.
func programs() *rapid.Generator[Program] {
	return rapid.Custom(func(t *rapid.T) Program {
		p := Program{
			Seed:        rapid.Uint64Range(0, 1<<20).Draw(t, "seed"),
			Completions: rapid.Bool().Draw(t, "completions"),
			Loops:       rapid.SampledFrom([]int{0, 0, 2, 3}).Draw(t, "loops"),
			Faults:      rapid.IntRange(0, 2).Draw(t, "faults"),
			Buffers:     rapid.SampledFrom([]int{0, 1000, 3000, 10}).Draw(t, "buffers"),
			Files:       rapid.SampledFrom([]int{0, 0, 0, 12}).Draw(t, "files"),
			Options:     rapid.IntRange(0, len(limits)-1).Draw(t, "options"),
			HalfClose:   rapid.Bool().Draw(t, "half close"),
			ReadBlocked: rapid.Bool().Draw(t, "read while blocked"),
			MaxConns:    rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "most connections"),
			Reject:      rapid.IntRange(0, 3).Draw(t, "reject") == 1,
			Memory:      rapid.SampledFrom([]int64{0, 0, 0, 3000}).Draw(t, "memory"),
			Balance:     rapid.IntRange(0, 3).Draw(t, "balance"),
			Reads:       rapid.IntRange(0, 3).Draw(t, "reads"),
			Answers:     rapid.SampledFrom([]int{0, 0, 10, 1000}).Draw(t, "answers"),
			End:         rapid.SampledFrom([]int{0, 0, 10, 1000, 20000}).Draw(t, "end"),
			Late:        rapid.SampledFrom([]int{0, 0, 0, 2, 8}).Draw(t, "late"),
			TLS:         rapid.IntRange(0, 7).Draw(t, "TLS") == 7,
		}
		if p.TLS && p.Buffers == 10 {
			p.Buffers = 300 // a handshake is some 1500 bytes
		}
		p.Ops = append(p.Ops, Op{Do: "Listen", N: rapid.IntRange(0, 3).Draw(t, "network")})
		for range rapid.IntRange(1, 4).Draw(t, "connections") {
			p.Ops = append(p.Ops, beginnings(t))
		}
		if rapid.Bool().Draw(t, "turns") {
			p.Ops = append(p.Ops, Op{Do: "Turns", N: 4})
		}
		p.Ops = append(p.Ops, rapid.SliceOfN(choices(t).operation(), 0, 40).Draw(t, "operations")...)
		for i := range p.Ops {
			p.Ops[i].N = min(p.Ops[i].N, p.largest())
		}
		p.Answers = min(p.Answers, p.largest()/20)
		return p
	})
}

// largest is how many bytes move in a time that is worth it.
func (p Program) largest() int {
	n := sizes[len(sizes)-1]
	if o := limits[p.Options]; o.TurnBudget > 0 {
		n = min(n, 30*o.TurnBudget+300)
	}
	if p.Buffers > 0 {
		n = min(n, 30*p.Buffers+300)
	}
	return n
}

// beginnings makes a connection.
func beginnings(t *rapid.T) Op {
	return Op{
		Do: rapid.SampledFrom([]string{"PeerDial", "PeerDial", "Connect", "Adopt"}).Draw(t, "beginning"),
		On: rapid.IntRange(0, 3).Draw(t, "on"),
		N:  rapid.SampledFrom(sizes).Draw(t, "n"),
	}
}

// choice is what the operations of a program are taken from: half of the programs have few kinds, so that these meet.
type choice struct {
	names  []string
	places []Place
	sizes  []int
}

// choices makes a choice.
func choices(t *rapid.T) choice {
	c := choice{places: places, sizes: sizes}
	if rapid.Bool().Draw(t, "all kinds") {
		return c
	}
	c.names = few(t, "kinds", slices.Concat(streamNames, worldNames, often, often), 2, 6)
	c.places = few(t, "places", places, 1, 3)
	c.sizes = few(t, "sizes", sizes, 1, 3)
	return c
}

// often are operations that few kinds have more often than others: those that end something, and those that others wait
// for.
var often = []string{
	"Abort", "Choke", "Close", "Connect", "Detach", "Fail", "Goexit", "NotifyDetach", "PeerCut", "PeerDial", "PeerReset", "PeerSend",
	"SetHandler", "Write", "WriteNotify",
}

// few takes some of all.
func few[T comparable](t *rapid.T, what string, all []T, least, most int) []T {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(all), least, most, rapid.ID[T]).Draw(t, what)
}

func (c choice) operation() *rapid.Generator[Op] {
	return rapid.Custom(func(t *rapid.T) Op {
		names := c.names
		if names == nil {
			names = streamNames
			if rapid.IntRange(0, 9).Draw(t, "kind") >= 6 {
				names = worldNames
			}
		}
		return Op{
			Do:  rapid.SampledFrom(names).Draw(t, "operation"),
			On:  rapid.IntRange(0, 3).Draw(t, "on"),
			In:  rapid.SampledFrom(c.places).Draw(t, "in"),
			Via: rapid.IntRange(0, 3).Draw(t, "via"),
			N:   rapid.SampledFrom(c.sizes).Draw(t, "n"),
		}
	})
}
