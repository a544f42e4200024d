package workload

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWorkloadTitle(t *testing.T) {
	for want, w := range map[string]Workload{
		"echo, 64 connections × 64 B":                       {Kind: "echo", Conns: 64, Size: 64, Depth: 1},
		"stream, 1 connection × 1 MiB":                      {Kind: "stream", Conns: 1, Size: 1 << 20},
		"echo, 8 connections × 16 KiB, 16 in flight":        {Kind: "echo", Conns: 8, Size: 16 << 10, Depth: 16},
		"echo, 64 connections × 100 B, 1,250,000/s offered": {Kind: "echo", Conns: 64, Size: 100, Depth: 1, Rate: 1_250_000},
		"tls-echo, 64 connections × 1 KiB, GOMAXPROCS 2":    {Kind: "tls-echo", Conns: 64, Size: 1 << 10, Depth: 1, Procs: 2},
		"idle, 10000 connections":                           {Kind: "idle", Conns: 10000},
	} {
		assert.Equal(t, want, w.String())
	}
}
