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
type Releases struct{ list, spare []*Socket }

// Add puts s on the list.
func (r *Releases) Add(s *Socket) { r.list = append(r.list, s) }

// Len is how many there are.
func (r *Releases) Len() int { return len(r.list) }

// Report calls Released for all that were added before, and returns how many.
func (r *Releases) Report() int {
	batch := r.list
	if len(batch) == 0 {
		return 0
	}
	r.list = r.spare[:0]
	for _, s := range batch {
		s.Owner.Released()
	}
	clear(batch)
	r.spare = batch
	return len(batch)
}
