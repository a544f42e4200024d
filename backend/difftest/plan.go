package difftest

import (
	"fmt"
	"strings"
)

// planned is a program as it runs: what an operation needs is there when it runs, and what comes of it is the same on
// every kernel.
type planned struct {
	streams []Config
	steps   []step
	loose   []loose
}

// step is what happens before the next wait: operations of one stream in one callback, or one of its peer's.
type step struct {
	stream  int
	place   Place
	trigger int // bytes that are written to cause the callback
	ops     []action
	join    bool    // the next step begins before this one's effects have come
	after   []state // what is so of each stream when they have
}

// action is an operation with everything decided.
type action struct {
	Op
	id      int
	n       int  // bytes; -1: all
	to      int  // the stream that Echo and Copy write to
	refused bool // by WriteBufferLimit
	waits   bool // a peer's write: the kernel surely takes it at once
}

// loose is what the contract leaves open of one stream.
type loose struct {
	gone    bool            // a failed write: ECONNRESET or EPIPE, as kernel and moment have it
	ends    bool            // how the connection ends for the peer: EOF or a reset
	out     bool            // the peer need not get everything that was written
	outFrom int             // but what it had read before
	outStep int             // from this step on
	in      bool            // not everything that the peer wrote need be delivered
	inFrom  int             // but so much
	inStep  int             // from this step on
	maybe   map[string]bool // timers and notifications that race with the end
	seen    map[int]bool    // steps in which OnData may be called or not
}

// planner turns operations into steps.
type planner struct {
	planned
	m      []state
	ids    int
	opened int
}

func plan(p Program) *planned {
	l := &planner{planned: planned{streams: p.Streams}}
	for _, c := range p.Streams {
		l.m = append(l.m, newState(c))
		l.loose = append(l.loose, loose{maybe: map[string]bool{}, seen: map[int]bool{}})
	}
	for i := range p.Streams {
		var first []Op
		for _, o := range p.Ops {
			if o.Stream == i && o.Place == InOpen && !o.Kind.isPeers() && !o.Kind.isConns() {
				first = append(first, o)
			}
		}
		l.opened = i + 1
		l.emit(i, InOpen, first, false)
	}
	for i := 0; i < len(p.Ops); {
		n := batchAt(p.Ops[i:])
		o := p.Ops[i]
		switch {
		case o.Kind.isPeers():
			l.peer(p.Ops[i : i+n]...)
		case o.Kind.isConns():
			l.conn(o)
		case o.Place != InOpen:
			l.emit(o.Stream, o.Place, p.Ops[i:i+n], p.Ops[i+n-1].Join)
		}
		i += n
	}
	for i := range l.m {
		l.finish(i)
	}
	return &l.planned
}

// batchAt is how many operations run in one callback, or are the peer's at once.
func batchAt(ops []Op) int {
	n := 1
	calls := func(o Op) bool { return !o.Kind.isPeers() && !o.Kind.isConns() && o.Place != InOpen }
	together := func(a, b Op) bool {
		return calls(a) && calls(b) || a.Kind == PeerWrite && (b.Kind == PeerWrite || b.Kind == PeerFinish || b.Kind == PeerReset)
	}
	for n < len(ops) && ops[n].With && ops[n].Stream == ops[0].Stream && together(ops[n-1], ops[n]) {
		n++
	}
	return n
}

// emit plans operations of one stream in one callback.
func (l *planner) emit(i int, at Place, ops []Op, join bool) {
	st := &l.m[i]
	s := step{stream: i, join: join}
	s.place, s.trigger = st.place(at, ops)
	b := &batch{place: s.place, loop: s.place != OffLoop, alone: len(ops) == 1}
	l.begin(st, b, s.trigger)
	for _, o := range ops {
		if a, ok := l.apply(st, b, action{Op: o, id: l.ids, to: i}); ok {
			l.ids++
			s.ops = append(s.ops, a)
			s.join = s.join && a.to == i
		}
	}
	if len(s.ops) == 0 && s.place != InOpen && s.place != InEOF && s.place != InClose && s.trigger == 0 {
		return
	}
	l.end(i, b)
	l.add(s)
}

// add ends a step.
func (l *planner) add(s step) {
	for i := range l.m {
		l.settle(i)
		s.after = append(s.after, l.m[i])
	}
	l.steps = append(l.steps, s)
}

// finish ends a stream, and everything is read.
func (l *planner) finish(i int) {
	l.peer(Op{Kind: PeerRead, Stream: i})
	if l.m[i].phase != over {
		l.emit(i, InPost, []Op{{Kind: SetHandler, Stream: i, Arg: 0}, {Kind: Resume, Stream: i}}, false)
	}
	l.peer(Op{Kind: PeerFinish, Stream: i})
	if l.m[i].phase == alive {
		l.emit(i, InPost, []Op{{Kind: Close, Stream: i}}, false)
	}
	l.conn(Op{Kind: ConnRead, Stream: i, Arg: readAll})
	l.conn(Op{Kind: ConnClose, Stream: i})
}

// String is a line such as "stream 0, in OnData after 17 bytes: Write 100, Close".
func (s step) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stream %d", s.stream)
	single := len(s.ops) > 0 && (s.ops[0].Kind.isPeers() || s.ops[0].Kind.isConns())
	if !single {
		fmt.Fprintf(&b, ", %v", s.place)
		if s.trigger > 0 {
			fmt.Fprintf(&b, " after %d bytes", s.trigger)
		}
	}
	b.WriteString(":")
	for i, a := range s.ops {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(" " + a.String())
	}
	if s.join {
		b.WriteString("; at once with the next")
	}
	return b.String()
}

// String is such as "Write 100".
func (a action) String() string {
	s := a.Kind.String()
	switch {
	case a.n < 0:
		s += " all"
	case a.Kind.writes() && a.Kind < Flush || a.Kind.reads() || a.Kind == PeerWrite || a.Kind == ConnWrite || a.Kind == ConnRead:
		s += fmt.Sprintf(" %d", a.n)
	}
	switch {
	case a.Kind == Echo || a.Kind == Copy:
		s += fmt.Sprintf(" to stream %d", a.to)
	case a.Kind == SetHandler && a.keeps():
		s += " that keeps"
	case a.Kind == SetHandler:
		s += " that reads"
	}
	return s
}

// keeps says which handler SetHandler sets.
func (a action) keeps() bool { return a.Arg&1 != 0 }
