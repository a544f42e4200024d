package portable

import (
	"github.com/tandem-io/tandem/backend"
)

// Config says how drivers run. Its zero value is valid.
type Config struct {
	Sockets int // room for so many sockets from the start, on each driver

	// Plain makes no system calls but those of package net, as on systems that are not Unix.
	Plain bool
}

// NewAll makes n drivers that know each other's descriptors: those of one Transport.
func NewAll(c Config, n int) []backend.Driver {
	all := make([]backend.Driver, n)
	s := &sockets{plain: c.Plain || !canTry, native: native && !c.Plain}
	for i := range all {
		all[i] = newDriver(s, c)
	}
	return all
}
