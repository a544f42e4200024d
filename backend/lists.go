package backend

// Changes holds the sockets whose interest a driver has yet to tell the kernel, so that an interest that is taken back
// before the next Poll costs nothing.
type Changes struct{ list []*Socket }

// Add puts s on the list, once.
func (c *Changes) Add(s *Socket) {
	if !s.changed {
		s.changed = true
		c.list = append(c.list, s)
	}
}

// Flush empties the list and calls update for each socket on it, except for those that have left the table. Sockets
// that update adds are part of the same Flush.
func (c *Changes) Flush(t *Slots, update func(*Socket)) {
	for i := 0; i < len(c.list); i++ {
		s := c.list[i]
		c.list[i] = nil
		s.changed = false
		if t.Lookup(s.ID) == s {
			update(s)
		}
	}
	c.list = c.list[:0]
}

// Releases holds the sockets whose Released the next Poll has to call.
type Releases struct {
	list  []*Socket
	batch []*Socket // Released was called for batch[:done]
	done  int
}

// Add puts s on the list.
func (r *Releases) Add(s *Socket) { r.list = append(r.list, s) }

// Len returns how many there are.
func (r *Releases) Len() int { return len(r.list) + len(r.batch) - r.done }

// Report calls Released for all that were added before, and returns how many they were. If one of these calls does not
// return, the next Report continues behind it.
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
