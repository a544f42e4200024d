package backend

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMaxConnsOf(t *testing.T) {
	for limit, want := range map[uint64]int{
		0: 0, 1: 1, 2: 1, 64: 32, 128: 64, 256: 192, 1024: 960, 20_000: 18_750, 524_288: 491_520, 1<<30 - 1: 1<<30 - 1<<26,
		1 << 30: 0, 1 << 63: 0, 1<<64 - 1: 0,
	} {
		assert.Equal(t, want, maxConnsOf(limit), "descriptors: %d", limit)
	}
}
