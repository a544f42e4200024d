package difftest

import (
	"fmt"
	"strings"
	"time"

	"github.com/tandem-io/tandem/session"
)

// Backend is a Transport under test. Nothing else uses it while a program runs.
type Backend struct {
	Name   string
	Engine *session.Engine
}

// Mismatch is a program that does not do the same on a Backend as on net.Conns.
type Mismatch struct {
	Program Program
	Backend string
	Step    int
	Stream  int
	What    string
	Trace   string // of the Backend, and of the net.Conns
}

// Error shows the program and both traces.
func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s, stream %d, after step %d: %s\n%v%s", m.Backend, m.Stream, m.Step, m.What, m.Program, m.Trace)
}

// Run runs a program on net.Conns and on each Backend, and returns the first Mismatch, or another error if the reference
// itself has failed. What has not come after wait is missing; 0 is a time that suffices on any machine.
func Run(p Program, backends []Backend, wait time.Duration) error {
	if wait == 0 {
		wait = patience
	}
	l := plan(p)
	want, err := runReference(l)
	if err != nil {
		return fmt.Errorf("%w\n%v", err, p)
	}
	for _, b := range backends {
		if m := b.run(l, want, wait); m != nil {
			m.Program = p
			return m
		}
	}
	return nil
}

// run runs a program on one Backend.
func (b *Backend) run(l *planned, want [][]snapshot, wait time.Duration) (m *Mismatch) {
	all := make([]*subject, len(l.streams))
	for i, c := range l.streams {
		all[i] = newSubject(b.Engine, c, all)
	}
	defer func() {
		for _, x := range all {
			x.end()
		}
		if m == nil {
			m = b.settled(wait)
		}
	}()
	for k, s := range l.steps {
		if err := all[s.stream].step(k, s); err != nil {
			return &Mismatch{Backend: b.Name, Step: k, Stream: s.stream, What: err.Error(), Trace: traces(want[k], all)}
		}
		if s.join && k+1 < len(l.steps) && apart(l.steps, k) {
			continue
		}
		if m := compareAll(l, all, want[k], k, wait); m != nil {
			m.Backend = b.Name
			return m
		}
	}
	return nil
}

// apart reports whether step k+1 has nothing to do with those before it that did not wait.
func apart(steps []step, k int) bool {
	next := steps[k+1]
	for _, a := range next.ops {
		if a.to != next.stream {
			return false
		}
	}
	for ; k >= 0 && steps[k].join; k-- {
		if steps[k].stream == next.stream {
			return false
		}
	}
	return true
}

// compareAll waits until all streams are as they have to be after step k.
func compareAll(l *planned, all []*subject, want []snapshot, k int, wait time.Duration) *Mismatch {
	for i, x := range all {
		if x.p == nil {
			continue
		}
		what := ""
		now := l.steps[k].after[i]
		if !waitFor(wait, func() bool {
			got := x.snapshot()
			what = diff(want[i], got, l.loose[i], now, k)
			return what == "" || len(got.faults) > 0
		}) || what != "" {
			return &Mismatch{Step: k, Stream: i, What: what, Trace: traces(want, all)}
		}
	}
	return nil
}

func (x *subject) snapshot() snapshot {
	s := x.t.snapshot(x.p)
	if stream := x.stream(); stream != nil {
		s.queued = stream.Queued()
	}
	return s
}

// settled checks that the program has left nothing behind.
func (b *Backend) settled(wait time.Duration) *Mismatch {
	what := ""
	waitFor(wait, func() bool {
		s := b.Engine.Stats()
		switch {
		case s.Streams != 0 || s.Sockets != 0:
			what = fmt.Sprintf("%d streams and %d sockets are left", s.Streams, s.Sockets)
		case s.BuffersTaken != 0:
			what = fmt.Sprintf("%d buffers are taken", s.BuffersTaken)
		case s.BytesIn != s.BytesDelivered+s.BytesDropped:
			what = fmt.Sprintf("%d bytes came in, %d were delivered, and %d dropped", s.BytesIn, s.BytesDelivered, s.BytesDropped)
		case s.Opened != s.Closed:
			what = fmt.Sprintf("%d streams were opened, and %d closed", s.Opened, s.Closed)
		default:
			what = ""
		}
		return what == ""
	})
	if what == "" {
		return nil
	}
	return &Mismatch{Backend: b.Name, What: "at the end: " + what}
}

func traces(want []snapshot, all []*subject) string {
	var b strings.Builder
	for i, x := range all {
		if x.p != nil {
			fmt.Fprintf(&b, "stream %d, expected:\n%vstream %d, got:\n%v", i, want[i], i, x.snapshot())
		}
	}
	return b.String()
}

// Shrink returns a smaller program for which fails still returns true: it leaves out operations and streams, and makes
// arguments and limits simple, as long as that works.
func Shrink(p Program, fails func(Program) bool) Program {
	for again := true; again; {
		again = false
		for n := max(len(p.Ops)/2, 1); n > 0; n /= 2 {
			for i := 0; i+n <= len(p.Ops); {
				q := p
				q.Ops = append(append([]Op(nil), p.Ops[:i]...), p.Ops[i+n:]...)
				if fails(q) {
					p, again = q, true
				} else {
					i += n
				}
			}
		}
		for _, q := range p.simpler() {
			if fails(q) {
				p, again = q, true
				break
			}
		}
	}
	return p
}

// simpler are programs with one thing less.
func (p Program) simpler() (all []Program) {
	if n := len(p.Streams) - 1; n > 0 {
		q := Program{Streams: p.Streams[:n]}
		for _, o := range p.Ops {
			if o.Stream < n {
				q.Ops = append(q.Ops, o)
			}
		}
		all = append(all, q)
	}
	for i, c := range p.Streams {
		for _, change := range []func(*Config){
			func(c *Config) { c.Unix = false }, func(c *Config) { c.Dialled = false }, func(c *Config) { c.AllowHalfClose = false },
			func(c *Config) { c.ReadWhileBlocked = false }, func(c *Config) { c.Tight = false }, func(c *Config) { c.Keep = false },
			func(c *Config) { c.SmallQueue = false }, func(c *Config) { c.SmallBudget = false }, func(c *Config) { c.ReadLimit = 0 },
			func(c *Config) { c.HighWater = 0 },
		} {
			d := c
			if change(&d); d != c {
				q := p
				q.Streams = append([]Config(nil), p.Streams...)
				q.Streams[i] = d
				all = append(all, q)
			}
		}
	}
	for i, o := range p.Ops {
		for _, d := range []Op{
			{o.Kind, o.Stream, o.Place, o.With, false, o.Arg}, {o.Kind, o.Stream, InPost, o.With, o.Join, o.Arg},
			{o.Kind, o.Stream, o.Place, o.With, o.Join, 2}, {o.Kind, 0, o.Place, o.With, o.Join, o.Arg},
		} {
			if d != o && d.Arg <= max(o.Arg, 2) && d.Place <= o.Place {
				q := p
				q.Ops = append([]Op(nil), p.Ops...)
				q.Ops[i] = d
				all = append(all, q)
			}
		}
	}
	return all
}
