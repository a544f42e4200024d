package tandem

import (
	"fmt"
	"slices"
	"strings"
)

// Backend is one of the two kernel interfaces, goroutines instead of them, or Auto. Its text forms are "auto", "epoll",
// "uring" and "portable".
type Backend int

// The backends.
const (
	// Auto is Uring if it works here, else Epoll, and where there is neither Portable. The environment variable
	// TANDEM_BACKEND overrides it.
	Auto Backend = iota

	Epoll // epoll(7)
	Uring // io_uring(7), Linux 5.19 or newer; 6.1 or newer is better

	// Portable is goroutines over package net, for systems other than Linux. It costs more: package portable says what
	// it is, and what it does without there.
	Portable
)

const autoName = "auto"

// String returns the text form, such as "epoll".
func (b Backend) String() string {
	switch b {
	case Auto:
		return autoName
	case onSimulated:
		return "simulated"
	}
	for _, s := range sources {
		if s.backend == b {
			return s.name
		}
	}
	return fmt.Sprintf("Backend(%d)", int(b))
}

// MarshalText implements encoding.TextMarshaler.
func (b Backend) MarshalText() ([]byte, error) {
	text := b.String()
	if !slices.Contains(backendNames(), text) {
		return nil, fmt.Errorf("tandem: no such backend: %d", int(b))
	}
	return []byte(text), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *Backend) UnmarshalText(text []byte) error {
	if string(text) == autoName {
		*b = Auto
		return nil
	}
	for _, s := range sources {
		if s.name == string(text) {
			*b = s.backend
			return nil
		}
	}
	return fmt.Errorf("tandem: no such backend: %q; there are %s", text, strings.Join(backendNames(), ", "))
}

// backendNames are the text forms.
func backendNames() []string {
	names := []string{autoName}
	for _, s := range sources {
		names = append(names, s.name)
	}
	return names
}
