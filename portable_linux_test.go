package tandem_test

import (
	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/backendtest"
	"github.com/tandem-io/tandem/backend/portable"
)

// portableSetups are goroutines over package net: as on Linux, and as on systems that have nothing but package net.
func portableSetups() []backendtest.Setup {
	return []backendtest.Setup{
		portableSetup("portable", portable.Config{}),
		portableSetup("portable-plain", portable.Config{Plain: true}),
	}
}

func portableSetup(name string, c portable.Config) backendtest.Setup {
	return backendtest.Setup{
		Name: name, Required: true, HandedOver: 64 << 10, Yardstick: epollDrivers,
		Drivers: func(n backendtest.Need) ([]backend.Driver, error) {
			of := c
			of.Sockets = n.Streams / n.Loops
			return portable.NewAll(of, n.Loops), nil
		},
	}
}
