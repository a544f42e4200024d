package backendtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// The rules on what happens where two or three rules meet: operations in pairs and triples, within one callback or at
// once on several goroutines, while the peer acts, too. Each combination is a trial with a stream of its own, whose
// outcome is compared with a small model of the rules (combine_check.go).
//
// TANDEM_COMBINE_SEED chooses the triples, TANDEM_COMBINE_TRIPLES how many there are in each setup; TANDEM_COMBINE
// runs only the combinations whose name contains it.
var combineRules = []Rule{
	{"Combine_InOnOpen", func(e *Env) { combine(e, pairsIn(inOpen)) }},
	{"Combine_InOnData", func(e *Env) { combine(e, pairsIn(inData)) }},
	{"Combine_InOnEOF", func(e *Env) { combine(e, pairsIn(inEOF)) }},
	{"Combine_InOnWritable", func(e *Env) { combine(e, pairsIn(inWritable)) }},
	{"Combine_InOnClose", func(e *Env) { combine(e, pairsIn(inClose)) }},
	{"Combine_Posted", func(e *Env) { combine(e, pairsIn(inPost)) }},
	{"Combine_InATimer", func(e *Env) { combine(e, pairsIn(inTimer)) }},
	{"Combine_AcrossGoroutines", func(e *Env) { combine(e, pairsIn(across)) }},
	{"Combine_Triples", combineTriples},
	{"Combine_TooManyFiles", combineTooManyFiles},
}

// place is where the operations of a combination run.
type place string

const (
	inOpen     place = "OnOpen"
	inData     place = "OnData"
	inEOF      place = "OnEOF"
	inWritable place = "OnWritable"
	inClose    place = "OnClose"
	inPost     place = "a posted function"
	inTimer    place = "a timer"
	across     place = "goroutines" // each operation on one of its own, at once
)

// act is what the peer does, besides sending some bytes.
type act string

const (
	silence   act = "silence"
	fin       act = "FIN"
	reset     act = "reset"
	fullQueue act = "full queue" // it reads nothing until the operations have run
)

var (
	places = []place{inOpen, inData, inEOF, inWritable, inClose, inPost, inTimer, across}
	acts   = []act{silence, fin, reset, fullQueue}
)

// combination is one case.
type combination struct {
	ops   []*operation
	at    place
	peer  act
	early bool // the peer acts before the operations, and not after them
	full  bool // there is no free descriptor while Detach is called
}

func (c combination) String() string {
	names := make([]string, len(c.ops))
	for i, o := range c.ops {
		names[i] = o.name
	}
	s := fmt.Sprintf("%s in %s; peer: %s", strings.Join(names, ", "), c.at, c.peer)
	if c.early {
		s += " before"
	}
	if c.full {
		s += "; no descriptor is free"
	}
	return s
}

// pairsIn are all ordered pairs of operations in one place, with everything that a peer does.
func pairsIn(at place) (all []combination) {
	for i, first := range operations {
		for j, second := range operations {
			if at == across && j < i {
				continue // the same as the other way round
			}
			for k, peer := range acts {
				early := (i+j+k)%2 == 0 && (peer == fin || peer == reset)
				all = append(all, combination{ops: []*operation{first, second}, at: at, peer: peer, early: early})
			}
		}
	}
	return all
}

// combineTriples tries three operations, chosen at random: the same ones each time, unless a seed is given.
func combineTriples(e *Env) {
	seed, n := number("TANDEM_COMBINE_SEED", 1), number("TANDEM_COMBINE_TRIPLES", 500)
	r := rand.New(rand.NewPCG(seed, 0))
	all := make([]combination, n)
	for i := range all {
		ops := make([]*operation, 3)
		for k := range ops {
			ops[k] = operations[r.IntN(len(operations))]
		}
		all[i] = combination{ops: ops, at: places[r.IntN(len(places))], peer: acts[r.IntN(len(acts))], early: r.IntN(2) == 0}
	}
	e.Logf("TANDEM_COMBINE_SEED=%d", seed)
	combine(e, all)
}

// number reads a number from the environment.
func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// combineTooManyFiles calls Detach while no descriptor is free. Trials run one at a time, because the limit is the
// process's.
func combineTooManyFiles(e *Env) {
	var all []combination
	for _, at := range []place{inOpen, inData, inEOF, inWritable, inPost, across} {
		for _, c := range pairsIn(at) {
			if (c.ops[0].name == "Detach") != (c.ops[1].name == "Detach") {
				c.full = true
				all = append(all, c)
			}
		}
	}
	e.tryAll(all, 1)
}

// tooMany problems end a rule.
const tooMany = 40

func combine(e *Env, all []combination) { e.tryAll(all, 16) }

// tryAll tries combinations, several at once.
func (e *Env) tryAll(all []combination, atOnce int) {
	only := os.Getenv("TANDEM_COMBINE")
	if only != "" {
		all = keepIf(all, func(c combination) bool { return strings.Contains(c.String(), only) })
	}
	if thin := e.Peers != nil || e.Beside != ""; thin && atOnce > 1 { // all of them have been tried on this backend
		i := 0
		all = keepIf(all, func(combination) bool { i++; return i%4 == 1 })
	}
	t := e.Under()
	if e.Peers != nil {
		e.peers = e.open(e.Peers, Options{})
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	shared := &trials{e: e}
	for range min(atOnce, len(all)) {
		w := newStage(e, t, shared)
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && shared.problems.Load() < tooMany; i = int(next.Add(1)) - 1 {
				w.try(all[i], i)
			}
		})
	}
	workers.Wait()
	shared.check(0)
}

func keepIf[T any](all []T, fn func(T) bool) (kept []T) {
	for _, v := range all {
		if fn(v) {
			kept = append(kept, v)
		}
	}
	return kept
}
