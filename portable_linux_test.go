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
		Name: name, Required: true, Goroutines: true, HandedOver: 64 << 10, Yardstick: epollDrivers, Without: withoutPortable,
		Drivers: func(n backendtest.Need) ([]backend.Driver, error) {
			of := c
			of.Sockets = n.Streams / n.Loops
			return portable.NewAll(of, n.Loops), nil
		},
	}
}

const whoReceives = "it counts turns in which a loop receives, and here goroutines do, when they are scheduled"

// withoutPortable are rules that cannot hold for goroutines over package net, and why.
var withoutPortable = map[string]string{
	"S33_Fairness":         whoReceives,
	"S33_FairnessOfBytes":  whoReceives,
	"S23_Resolution":       "Go's timers end a sleep, late by up to a millisecond on Linux",
	"S26_CallersNamespace": "package net opens a dial's socket on another thread than the caller's, which has its own network namespace",
}
