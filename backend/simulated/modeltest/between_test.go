package modeltest

import "runtime/debug"

// What comes between two steps of a loop: operations on goroutines of their own, and other loops.

// elsewhere performs the next operation on a goroutine of its own.
func (w *world) elsewhere(o Op) {
	done := make(chan struct{})
	was := w.current
	w.inFlight, w.current = true, -1
	go func() {
		defer close(done)
		defer func() {
			if v := recover(); v != nil { // on this goroutine it would end the test program, and not this run alone
				w.failf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		w.perform(o)
	}()
	<-done
	w.inFlight, w.current = false, was
}

// interrupted is called on a loop, where another goroutine could come between, and now and then one does.
func (w *world) interrupted() {
	if w.inFlight || w.err != nil {
		return
	}
	eager := w.p.stepped() && w.p.Seed%2 == 1 // half of the programs let other loops go far wherever they can
	switch n := w.random.IntN(4); {
	case eager && n > 0:
		w.otherLoop(6 + w.random.IntN(8))
		return
	case w.p.stepped() && n == 0:
		w.otherLoop(1 + w.random.IntN(8))
		return
	case n < 3 && !eager:
		return
	}
	for w.pc < w.ready() && w.err == nil && w.comesHere(w.p.Ops[w.pc]) {
		w.elsewhere(w.p.Ops[w.pc])
	}
}

// ready is how many operations may be performed by now: the last ones wait for the end of the engine.
func (w *world) ready() int {
	if w.down {
		return len(w.p.Ops)
	}
	return max(len(w.p.Ops)-w.p.Late, 0)
}

// comesHere reports whether an operation is for another goroutine: while the engine ends, also one whose place does not
// come.
func (w *world) comesHere(o Op) bool {
	if w.down {
		w.waited++
	}
	return o.In == Other || w.down && w.waited > 6
}

// otherLoop has other loops go on while this one is interrupted, so many times.
func (w *world) otherLoop(most int) {
	was := w.current
	w.inFlight, w.current = true, -1
	for n := 0; n < most && w.k.StepOther(); n++ {
	}
	w.inFlight, w.current = false, was
}
