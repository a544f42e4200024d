package ringtest

import (
	"fmt"
	"strings"
)

// Describe tells what is in flight on a ring, for a test that has failed. It is for whoever may call Enter.
func (k *Kernel) Describe(fd int) string {
	r := k.find(fd)
	if r == nil {
		return "no ring"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "ring %d: %d completions in the queue, %d overflowed, %d held back; %d submissions prepared; %d files ready\n",
		fd, r.queues.ready(), len(r.backlog), len(r.held), r.prepared(), len(r.ready))
	for _, f := range r.files {
		fmt.Fprintf(&b, "  descriptor %d, where poll(2) sees %#x:", f.fd, r.poll(f, everything))
		for _, q := range f.requests {
			fmt.Fprintf(&b, " [opcode %d, user_data %#x, waits for %#x]", q.Opcode, q.UserData, q.events)
		}
		b.WriteString("\n")
	}
	for id, g := range r.groups {
		fmt.Fprintf(&b, "  buffer group %d: %d of %d lent\n", id, len(g.lent), len(g.entries))
	}
	return b.String()
}
