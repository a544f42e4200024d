package session

import (
	"slices"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// defaultTLSHandshakes is how many handshakes run at once on a loop, in each direction.
const defaultTLSHandshakes = 64

// tlsPatience is how long a handshake may keep others waiting while its peer is silent. Then it goes on beside them.
const tlsPatience = 100 * time.Millisecond

// tlsSlots bounds how many handshakes run at once on a loop: those of servers, and those of clients, because a client
// may wait for a server of the same loop. A handshake whose peer is silent holds others up for tlsPatience at most, so
// that peers that stall in the middle stop nobody.
type tlsSlots struct {
	loop   *loop
	limit  int
	timer  backend.Timer
	groups [2]slotGroup // of clients, of servers
}

type slotGroup struct {
	running []*handshake // that hold a slot
	waiting []*handshake // in the order in which they came; those that are not queued any longer have left
	left    int          // how many those are
}

func (t *tlsSlots) group(h *handshake) *slotGroup {
	if h.layer.server {
		return &t.groups[1]
	}
	return &t.groups[0]
}

// enter gives h a slot, or has it wait for one. It reports whether h may run.
func (t *tlsSlots) enter(h *handshake) bool {
	g := t.group(h)
	switch {
	case h.slot:
		return true
	case h.queued:
		return false
	}
	if len(g.running) >= t.limit {
		h.queued = true
		g.waiting = append(g.waiting, h)
		t.watch()
		return false
	}
	h.slot = true
	g.running = append(g.running, h)
	return true
}

// leave gives the slot of h to the next, or forgets that h waits.
func (t *tlsSlots) leave(h *handshake) {
	g := t.group(h)
	same := func(x *handshake) bool { return x == h }
	switch {
	case h.slot:
		g.running = slices.DeleteFunc(g.running, same)
	case h.queued:
		g.left++ // it stays on the list until many have left, because there may be many
	}
	h.slot, h.queued = false, false
	if g.left > len(g.waiting)/2 {
		g.waiting = slices.DeleteFunc(g.waiting, func(x *handshake) bool { return !x.queued })
		g.left = 0
	}
	t.serve(g)
}

// serve lets those begin who wait, as far as there are slots.
func (t *tlsSlots) serve(g *slotGroup) {
	for len(g.waiting) > 0 && len(g.running) < t.limit {
		h := g.waiting[0]
		g.waiting[0] = nil
		g.waiting = g.waiting[1:]
		if !h.queued {
			g.left--
			continue
		}
		h.queued = false
		h.layer.stream.scheduleTurnEnd() // it begins then
		h.slot = true
		g.running = append(g.running, h)
	}
	if len(g.waiting) == 0 {
		g.waiting, g.left = nil, 0
	}
}

// watch looks, while handshakes wait, for others whose peers are silent.
func (t *tlsSlots) watch() {
	if t.timer.Fire == nil {
		t.timer.Fire = t.look
	}
	if !t.timer.Active() {
		t.loop.StartTimer(&t.timer, tlsPatience/2)
	}
}

func (t *tlsSlots) look() {
	now := t.loop.Clock()
	waits := false
	for i := range t.groups {
		g := &t.groups[i]
		if len(g.waiting) == 0 {
			continue
		}
		g.running = slices.DeleteFunc(g.running, func(h *handshake) bool {
			h.slot = !h.begun || h.silent(now) < tlsPatience
			return !h.slot
		})
		t.serve(g)
		waits = waits || len(g.waiting) > 0
	}
	if waits {
		t.watch()
	}
}
