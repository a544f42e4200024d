package backend

import (
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestSocketSize keeps what every connection has of its driver within a cache line.
func TestSocketSize(t *testing.T) {
	if strconv.IntSize == 64 {
		assert.LessOrEqual(t, int(unsafe.Sizeof(Socket{})), 64)
	}
}
