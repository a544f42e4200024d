package portable

import (
	"math/bits"
	"sync"

	"github.com/tandem-io/tandem/backend"
)

// slotBits is how many bits of a descriptor's number say which slot it has. The others tell its holders apart.
const slotBits = 20

const generations = 1 << (bits.UintSize - slotBits - 2)

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
	if len(t.free) > 64 || len(t.free) > 0 && i == 1<<slotBits {
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
