package difftest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// diff compares what has happened on a stream up to step k with what had to happen, and says what differs. now is what is
// known of the stream after the step, and w what the contract leaves open.
func diff(want, got snapshot, w loose, now state, k int) string {
	switch {
	case len(got.faults) > 0:
		return strings.Join(got.faults, "; ")
	case !slices.Equal(w.normal(want.calls, k), w.normal(got.calls, k)):
		return "callbacks differ"
	case !slices.Equal(want.results, got.results):
		return "results differ"
	case !w.sameIn(want.in, got.in, k):
		return fmt.Sprintf("delivered bytes differ: %d and %d", len(want.in), len(got.in))
	case !w.sameOut(want.got, got.got, k):
		return fmt.Sprintf("the peer got %d and %d bytes, or other ones", len(want.got), len(got.got))
	case want.end != got.end && (!w.ends || want.end == "" || got.end == ""):
		return fmt.Sprintf("the peer's reading ends with %q and %q", want.end, got.end)
	case got.writable < now.writableLo || got.writable > now.writableHi:
		return fmt.Sprintf("OnWritable was called %d times, not %d to %d", got.writable, now.writableLo, now.writableHi)
	case now.phase == alive && !now.flooded && got.queued > 0:
		return fmt.Sprintf("%d bytes are queued, and the peer reads", got.queued)
	case now.phase == alive && now.keep && now.exact() && got.buffered != want.buffered:
		return fmt.Sprintf("%d bytes are unread, not %d", got.buffered, want.buffered)
	case now.phase == alive && now.keep && got.buffered < now.held:
		return fmt.Sprintf("%d bytes are unread, not at least %d", got.buffered, now.held)
	}
	if s := w.diffEvents(want.events, got.events); s != "" {
		return s
	}
	for i := range k + 1 {
		if want.seen[i] != got.seen[i] && !w.seen[i] {
			return fmt.Sprintf("OnData was called in step %d: %v, not %v", i, got.seen[i], want.seen[i])
		}
	}
	return ""
}

// normal is calls without what the contract leaves open.
func (w *loose) normal(calls []call, k int) (all []call) {
	step := -1
	for _, c := range calls {
		_, _ = fmt.Sscanf(c.what, "step %d", &step)
		if w.in && k >= w.inStep && step >= w.inStep && c.n > 0 {
			continue
		}
		if w.gone {
			c.what = gone(c.what)
		}
		all = append(all, c)
	}
	return all
}

// gone replaces both classes of a peer that is gone by one.
func gone(what string) string {
	return strings.NewReplacer("reset", "gone", "pipe", "gone").Replace(what)
}

func (w *loose) sameIn(want, got []byte, k int) bool {
	return sameBytes(want, got, w.in && k >= w.inStep, w.inFrom)
}

func (w *loose) sameOut(want, got []byte, k int) bool {
	return sameBytes(want, got, w.out && k >= w.outStep, w.outFrom)
}

// sameBytes reports whether both are the same; or, if short is set, the beginning of the same, and not less than most of
// it.
func sameBytes(a, b []byte, short bool, from int) bool {
	if !short {
		return bytes.Equal(a, b)
	}
	n := min(len(a), len(b))
	return n >= from && bytes.Equal(a[:n], b[:n])
}

// diffEvents compares the functions that were called.
func (w *loose) diffEvents(want, got map[string]string) string {
	for _, all := range []map[string]string{want, got} {
		for name := range all {
			a, b := want[name], got[name]
			if w.gone {
				a, b = gone(a), gone(b)
			}
			if a != b && !w.maybe[name] {
				return fmt.Sprintf("%s: %q, not %q", name, got[name], want[name])
			}
		}
	}
	return ""
}

// String shows a snapshot.
func (s snapshot) String() string {
	var b strings.Builder
	line := func(name string, parts []string) {
		if len(parts) > 0 {
			fmt.Fprintf(&b, "    %-9s %s\n", name, strings.Join(parts, " │ "))
		}
	}
	var calls, events []string
	for _, c := range s.calls {
		if c.n > 0 {
			c.what = fmt.Sprintf("%d bytes of %s", c.n, c.what)
		}
		calls = append(calls, c.what)
	}
	for _, name := range slices.Sorted(maps.Keys(s.events)) {
		events = append(events, name+": "+s.events[name])
	}
	line("callbacks", calls)
	line("results", s.results)
	line("functions", events)
	line("faults", s.faults)
	fmt.Fprintf(&b, "    %-9s delivered %d, unread %d, queued %d, OnWritable %d; peer got %d, end %q; OnData in steps %v\n", "figures",
		len(s.in), s.buffered, s.queued, s.writable, len(s.got), s.end, slices.Sorted(maps.Keys(s.seen)))
	return b.String()
}
