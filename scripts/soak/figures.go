//go:build linux

package main

import (
	"maps"
	"slices"
	"sync"
)

// The groups of figures.
const (
	opened   = "Connections opened"
	closed   = "Connections closed"
	faults   = "Faults injected"
	ends     = "Ends of streams, as OnClose was told"
	excused  = "Connections that failed and may, by cause"
	done     = "Work"
	messages = "Messages verified"
	logged   = "Messages that the Transports logged"
	system   = "Transports, summed over their lives"
)

// figures are counts by group and kind. Any goroutine.
type figures struct {
	mu sync.Mutex
	n  map[string]map[string]uint64
}

func (f *figures) add(group, kind string, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n == nil {
		f.n = map[string]map[string]uint64{}
	}
	if f.n[group] == nil {
		f.n[group] = map[string]uint64{}
	}
	f.n[group][kind] += n
}

func (f *figures) count(group, kind string) { f.add(group, kind, 1) }

// row is one figure of a group.
type row struct {
	kind string
	n    uint64
}

// rows returns the figures of a group, sorted by kind, and their sum.
func (f *figures) rows(group string) (all []row, sum uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(f.n[group])) {
		all = append(all, row{kind, f.n[group][kind]})
		sum += f.n[group][kind]
	}
	return all, sum
}
