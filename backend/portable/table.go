package portable

import (
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// slotBits is how many bits of a descriptor's number say which slot it has. The others tell its holders apart: a number has
// 30 bits, and a slot rests for a while, so that it comes again for the same slot only after a million files.
const (
	slotBits    = 20
	generations = 1 << (30 - slotBits)
	resting     = 1024 // free slots before one is used again
)

// table has the files of a Transport's descriptors.
type table struct {
	mu    sync.RWMutex // guards what follows
	slots []tableSlot
	free  []int // a queue, so that a slot is used again late
}

type tableSlot struct {
	file       *file
	generation int
}

// add returns a Descriptor of f.
func (t *table) add(f *file) backend.Descriptor {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := len(t.slots)
	if len(t.free) > resting || len(t.free) > 0 && i == 1<<slotBits {
		i, t.free = t.free[0], t.free[1:]
	} else {
		t.slots = append(t.slots, tableSlot{})
	}
	s := &t.slots[i]
	s.file, s.generation = f, (s.generation+1)%generations
	return backend.NewDescriptor(s.generation<<slotBits | i)
}

// gone is the file of a Descriptor that is no longer one.
var gone = &file{}

// at returns the file of a Descriptor.
func (t *table) at(d backend.Descriptor) *file {
	i := d.FD() & (1<<slotBits - 1)
	t.mu.RLock()
	defer t.mu.RUnlock()
	if d.Valid() && i < len(t.slots) && t.slots[i].file != nil && t.slots[i].generation == d.FD()>>slotBits {
		return t.slots[i].file
	}
	return gone
}

// remove returns the file of a Descriptor that is none from now on.
func (t *table) remove(d backend.Descriptor) *file {
	f := t.at(d)
	if f == gone {
		return f
	}
	i := d.FD() & (1<<slotBits - 1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slots[i].file = nil
	t.free = append(t.free, i)
	return f
}
