package backend

// Changes gathers sockets whose wishes a driver has yet to tell the kernel, so that a wish that is taken back before
// the next Poll costs nothing.
type Changes struct{ list []*Socket }

// Add puts s on the list, once.
func (c *Changes) Add(s *Socket) {
	if !s.changed {
		s.changed = true
		c.list = append(c.list, s)
	}
}

// Drain empties the list into tell. What tell adds comes in the same Drain. Sockets that have left the table since are
// passed over.
func (c *Changes) Drain(t *Slots, tell func(*Socket)) {
	for i := 0; i < len(c.list); i++ {
		s := c.list[i]
		c.list[i] = nil
		s.changed = false
		if t.Lookup(s.ID) == s {
			tell(s)
		}
	}
	c.list = c.list[:0]
}

// Releases gathers sockets whose Released has to be called by the next Poll.
type Releases struct {
	list  []*Socket
	batch []*Socket // batch[:done] have been reported
	done  int
}

// Add puts s on the list.
func (r *Releases) Add(s *Socket) { r.list = append(r.list, s) }

// Len is how many there are.
func (r *Releases) Len() int { return len(r.list) + len(r.batch) - r.done }

// Report calls Released for all that were added before, and returns how many. If one of them does not return, the rest
// come with the next Report.
func (r *Releases) Report() (n int) {
	if r.done == len(r.batch) {
		if len(r.list) == 0 {
			return 0
		}
		r.batch, r.list, r.done = r.list, r.batch[:0], 0
	}
	for ; r.done < len(r.batch); n++ {
		s := r.batch[r.done]
		r.batch[r.done] = nil
		r.done++
		s.Owner.Released()
	}
	return n
}
