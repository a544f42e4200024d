package backend_test

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/drivertest"
)

// A Vector that was freed points at poison, so that a kernel that is not done with it sends poison.
func TestFreeVectorPoisons(t *testing.T) {
	if !drivertest.Poisoned(t) {
		return
	}
	v := backend.NewVector()
	require.Equal(t, 8, v.Set([][]byte{[]byte("one "), []byte("more")}))
	pieces := unsafe.Slice(v.Header.Iov, v.Header.Iovlen)
	backend.FreeVector(v)
	for _, p := range pieces {
		require.EqualValues(t, 4, p.Len)
		assert.True(t, drivertest.IsPoison(unsafe.Slice(p.Base, p.Len)))
	}
	next := backend.NewVector()
	require.Equal(t, 3, next.Set([][]byte{[]byte("two"), nil}))
	assert.Equal(t, "two", string(unsafe.Slice(next.Header.Iov.Base, next.Header.Iov.Len)))
}
