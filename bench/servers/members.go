//go:build linux

package servers

import (
	"slices"
	"sync"
	"sync/atomic"
)

// members are the connections that receive every message of a fan-out server. Reading takes no lock, because a server
// reads for every message; joining and leaving copy the list.
type members[C comparable] struct {
	mu      sync.Mutex // held while changing current
	current atomic.Pointer[[]C]
}

func (m *members[C]) join(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := append(slices.Clone(m.all()), c)
	m.current.Store(&all)
}

func (m *members[C]) leave(c C) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(m.all()), func(o C) bool { return o == c })
	m.current.Store(&all)
}

// all lists them. The list must not be modified.
func (m *members[C]) all() []C {
	if p := m.current.Load(); p != nil {
		return *p
	}
	return nil
}
