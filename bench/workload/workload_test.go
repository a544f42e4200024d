package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWorkloadTitle(t *testing.T) {
	for want, w := range map[string]Workload{
		"echo, 64 connections × 64 B":                       {"echo", 64, 64, 1, 0},
		"stream, 1 connection × 1 MiB":                      {"stream", 1, 1 << 20, 0, 0},
		"echo, 8 connections × 16 KiB, 16 in flight":        {"echo", 8, 16 << 10, 16, 0},
		"echo, 64 connections × 100 B, 1,250,000/s offered": {"echo", 64, 100, 1, 1_250_000},
		"idle, 10000 connections":                           {"idle", 10000, 0, 0, 0},
	} {
		assert.Equal(t, want, w.String())
	}
}
