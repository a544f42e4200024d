package session

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestStreamSize keeps a Stream in its size class, runtime/sizeclasses.go: beyond it each would take 32 bytes more, and the
// parts of it that a message needs would share cache lines with those of other streams.
func TestStreamSize(t *testing.T) {
	if strconv.IntSize == 64 {
		assert.LessOrEqual(t, int(reflect.TypeFor[Stream]().Size()), 384)
	}
}
