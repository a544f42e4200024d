package backend

// ID names an attached socket: a slot in a table, and the slot's generation, so that an event of an earlier holder of
// the slot, or of the descriptor number, is never taken for one of the present holder.
type ID uint64

const slotBits = 24

// Slot is the index in the table: less than 1<<24.
func (id ID) Slot() int { return int(id & (1<<slotBits - 1)) }

// Generation tells the holders of one slot apart. It has 24 bits and starts at 1.
func (id ID) Generation() uint32 { return uint32(id>>slotBits) & (1<<slotBits - 1) }

// IDBits is how many bits an ID needs. A driver may use the rest of a 64-bit word for itself.
const IDBits = 2 * slotBits

// Slots is a table of sockets in which lookup, insertion and removal are O(1) and a stale ID finds nothing. A freed
// slot is used again as late as possible, so that 2^24 generations of it last long.
type Slots struct {
	entries []slot
	free    []uint32 // a queue: freed slots are appended, and taken from freeAt
	freeAt  int
	n       int
}

type slot struct {
	socket *Socket
	gen    uint32
}

// Reserve makes room for n sockets.
func (t *Slots) Reserve(n int) {
	if n > cap(t.entries) {
		entries := make([]slot, len(t.entries), n)
		copy(entries, t.entries)
		t.entries = entries
	}
}

// Len is the number of sockets in the table.
func (t *Slots) Len() int { return t.n }

// Insert puts s into the table and sets s.ID. It reports false if 2^24 sockets are there already.
func (t *Slots) Insert(s *Socket) bool {
	var i int
	switch {
	case t.freeAt < len(t.free):
		i = int(t.free[t.freeAt])
		t.freeAt++
		if t.freeAt == len(t.free) {
			t.free, t.freeAt = t.free[:0], 0
		}
	case len(t.entries) < 1<<slotBits:
		i = len(t.entries)
		t.entries = append(t.entries, slot{gen: 1})
	default:
		return false
	}
	t.entries[i].socket = s
	s.ID = ID(i) | ID(t.entries[i].gen)<<slotBits
	t.n++
	return true
}

// Lookup returns the socket of id, or nil if it has left the table.
func (t *Slots) Lookup(id ID) *Socket {
	i := id.Slot()
	if i >= len(t.entries) || t.entries[i].gen != id.Generation() {
		return nil
	}
	return t.entries[i].socket
}

// Remove takes s out of the table. Its ID finds nothing from then on.
func (t *Slots) Remove(s *Socket) {
	e := &t.entries[s.ID.Slot()]
	if e.socket != s {
		return
	}
	e.socket = nil
	e.gen = (e.gen + 1) & (1<<slotBits - 1)
	if e.gen == 0 {
		e.gen = 1
	}
	t.compactFree()
	t.free = append(t.free, uint32(s.ID.Slot()))
	t.n--
}

// compactFree keeps the queue's memory within twice what it holds.
func (t *Slots) compactFree() {
	if t.freeAt > 64 && t.freeAt > len(t.free)/2 {
		t.free = t.free[:copy(t.free, t.free[t.freeAt:])]
		t.freeAt = 0
	}
}

// All calls fn for every socket in the table. fn may remove the socket it is given.
func (t *Slots) All(fn func(*Socket)) {
	for i := range t.entries {
		if s := t.entries[i].socket; s != nil {
			fn(s)
		}
	}
}
