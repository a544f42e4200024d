package backend_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// releasedOwner counts its Released.
type releasedOwner struct {
	backend.NoEvents
	released int
}

func (o *releasedOwner) Released() { o.released++ }

func TestTable(t *testing.T) {
	const one, other = 1, 2
	var updated []*backend.Socket
	var table backend.Table
	table.Setup("test", 2, func(s *backend.Socket) { updated = append(updated, s) })
	attach := func() (*backend.Socket, *releasedOwner) {
		o := &releasedOwner{}
		s := &backend.Socket{Owner: o, State: 1 << 31, InFlight: 7, Op: t}
		require.NoError(t, table.Attach(s))
		assert.Zero(t, s.State)
		assert.Zero(t, s.InFlight)
		assert.Nil(t, s.Op)
		return s, o
	}
	a, owner := attach()
	b, _ := attach()

	table.SetInterest(a, one|other, true)
	table.SetInterest(a, other, false)
	assert.EqualValues(t, one, a.State)
	table.Changed(b)
	assert.Empty(t, updated, "before FlushChanges")
	table.FlushChanges()
	assert.Equal(t, []*backend.Socket{a, b}, updated, "each once")

	updated = nil
	table.Changed(a)
	table.MarkReleased(a)
	table.FlushChanges()
	assert.Empty(t, updated, "a socket that is not attached any longer")
	assert.Nil(t, table.Lookup(a.ID))
	assert.Equal(t, 2, table.Unreleased(), "one is due its Released")
	assert.Equal(t, 1, table.ReportReleased())
	assert.Zero(t, table.ReportReleased())
	assert.Equal(t, 1, owner.released)
	assert.Equal(t, 1, table.Unreleased())
}

// A socket that update changes is part of the same flush, and a second change is not lost.
func TestTableChangesWhileFlushing(t *testing.T) {
	var table backend.Table
	var a, b backend.Socket
	var updated []*backend.Socket
	table.Setup("test", 0, func(s *backend.Socket) {
		if updated = append(updated, s); len(updated) == 1 {
			table.Changed(&b)
			table.Changed(&a)
		}
	})
	require.NoError(t, table.Attach(&a))
	require.NoError(t, table.Attach(&b))
	table.Changed(&a)
	table.FlushChanges()
	assert.Equal(t, []*backend.Socket{&a, &b, &a}, updated)
}
