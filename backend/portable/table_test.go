package portable

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// A Descriptor that was closed is none, also when its slot has another holder.
func TestClosedDescriptorIsNone(t *testing.T) {
	var all table
	first := &file{}
	d := all.add(first)
	require.Same(t, first, all.at(d))
	require.Same(t, first, all.remove(d))
	assert.Same(t, gone, all.at(d))
	assert.Same(t, gone, all.remove(d))
	for range 10 * resting {
		other := all.add(&file{})
		require.NotEqual(t, d, other)
		assert.Same(t, gone, all.at(d))
		all.remove(other)
	}
	assert.Less(t, len(all.slots), 2*resting, "slots are used again")
	assert.Same(t, gone, all.at(backend.Descriptor{}))
}

func TestTableIsShared(t *testing.T) {
	var all table
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 1000 {
				f := &file{}
				d := all.add(f)
				assert.Same(t, f, all.at(d))
				assert.Same(t, f, all.remove(d))
			}
		})
	}
	done.Wait()
}

// TestTableInTheLongRun opens and closes more files than a Descriptor has numbers for.
func TestTableInTheLongRun(t *testing.T) {
	var table table
	stays := table.add(&file{})
	before := backend.Descriptor{}
	for i := range 2 << 20 {
		f := &file{}
		d := table.add(f)
		if !d.Valid() || d.FD() < 0 || table.at(d) != f || d == before || table.at(before) != gone {
			t.Fatalf("file %d, of %v behind %v", i, d, before)
		}
		table.remove(d)
		before = d
	}
	assert.NotSame(t, gone, table.at(stays))
	assert.Less(t, len(table.slots), 2*resting, "slots for two files at a time")
}
