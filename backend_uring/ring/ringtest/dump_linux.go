package ringtest

import (
	"fmt"
	"strings"
)

// Dump is a debugging aid.
func (k *Kernel) Dump() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var b strings.Builder
	for fd, r := range k.rings {
		fmt.Fprintf(&b, "ring %d tick %d ready %d prepared %d held %d backlog %d queued %d\n", fd, r.tick, r.queues.ready(), r.prepared(), len(r.held), len(r.backlog), len(r.ready))
		for _, f := range r.files {
			fmt.Fprintf(&b, "  file %d mask %#x queued %v due %d now %#x:", f.fd, f.mask, f.queued, f.due, r.poll(f, 0x201f))
			for _, q := range f.requests {
				fmt.Fprintf(&b, " op %d ud %#x left %d ev %#x rep %#x int %v;", q.Opcode, q.UserData, q.left, q.events, q.reported, q.interrupted)
			}
			b.WriteString("\n")
		}
		for id, g := range r.groups {
			fmt.Fprintf(&b, "  group %d head %d seen %d tail %d lent %d\n", id, g.head, g.seen, tailOf(&g.entries[0]), len(g.lent))
		}
	}
	return b.String()
}
