package backend

import (
	"math/rand/v2"
	"testing"
)

func TestSlotsStaleID(t *testing.T) {
	var table Slots
	a, b := &Socket{}, &Socket{}
	table.Insert(a)
	stale := a.ID
	if stale.Generation() != 1 || table.Lookup(stale) != a || table.Len() != 1 {
		t.Fatalf("the first ID is %#x", stale)
	}
	table.Remove(a)
	if table.Lookup(stale) != nil || table.Len() != 0 {
		t.Error("an ID is found after Remove")
	}
	table.Insert(b)
	if b.ID.Slot() != stale.Slot() || b.ID == stale {
		t.Errorf("the slot's next ID is %#x, after %#x", b.ID, stale)
	}
	if table.Lookup(stale) != nil {
		t.Error("a stale ID finds the next holder of its slot")
	}
	table.Remove(a) // which has left already
	if table.Lookup(b.ID) != b || table.Len() != 1 {
		t.Error("to remove a stale socket removed the holder of its slot")
	}
	for _, id := range []ID{0, ID(5) | 1<<slotBits, ^ID(0)} {
		if table.Lookup(id) != nil {
			t.Errorf("%#x is found", id)
		}
	}
}

// TestSlotsGenerations has a generation wrap: 0 is left out, since an ID of zero means none.
func TestSlotsGenerations(t *testing.T) {
	var table Slots
	s := &Socket{}
	table.Insert(s)
	table.entries[0].gen = 1<<slotBits - 1
	table.Remove(s)
	table.Insert(s)
	if s.ID.Generation() != 1 || table.Lookup(s.ID) != s || uint64(s.ID)>>IDBits != 0 {
		t.Errorf("after the last generation comes the ID %#x", s.ID)
	}
}

// TestSlotsLateReuse: a freed slot comes again after all that were freed before it.
func TestSlotsLateReuse(t *testing.T) {
	var table Slots
	var sockets [10]Socket
	for i := range sockets {
		table.Insert(&sockets[i])
	}
	order := []int{3, 7, 1, 9}
	for _, i := range order {
		table.Remove(&sockets[i])
	}
	for _, want := range order {
		s := &Socket{}
		if table.Insert(s); s.ID.Slot() != want {
			t.Errorf("slot %d is used again, not %d", s.ID.Slot(), want)
		}
	}
	s := &Socket{}
	if table.Insert(s); s.ID.Slot() != 10 {
		t.Errorf("slot %d is new, not 10", s.ID.Slot())
	}
}

// TestSlotsModel compares with a map, through many insertions and removals.
func TestSlotsModel(t *testing.T) {
	var table Slots
	table.Reserve(100)
	random := rand.New(rand.NewPCG(1, 2))
	model := map[ID]*Socket{}
	var ids, stale []ID
	most := 0 // sockets at a time
	for range 20_000 {
		if len(ids) > 0 && random.IntN(100) < 49 {
			i := random.IntN(len(ids))
			table.Remove(model[ids[i]])
			delete(model, ids[i])
			stale = append(stale, ids[i])
			ids[i] = ids[len(ids)-1]
			ids = ids[:len(ids)-1]
			continue
		}
		s := &Socket{}
		if !table.Insert(s) || model[s.ID] != nil {
			t.Fatalf("the ID %#x is given twice", s.ID)
		}
		model[s.ID] = s
		ids = append(ids, s.ID)
		most = max(most, len(ids))
	}
	if len(table.entries) != most {
		t.Errorf("there are %d slots, for %d sockets at a time", len(table.entries), most)
	}
	for id, s := range model {
		if table.Lookup(id) != s {
			t.Fatalf("%#x is not found", id)
		}
	}
	for _, id := range stale {
		if table.Lookup(id) != nil {
			t.Fatalf("the stale %#x is found", id)
		}
	}
	n := 0
	table.All(func(s *Socket) {
		if model[s.ID] != s {
			t.Errorf("All has a socket with the ID %#x", s.ID)
		}
		table.Remove(s)
		n++
	})
	if n != len(model) || table.Len() != 0 {
		t.Errorf("All has %d sockets, not %d", n, len(model))
	}
}
