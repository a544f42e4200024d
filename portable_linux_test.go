package tandem_test

import (
	"maps"
	"strings"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/backendtest"
	"github.com/tandem-io/tandem/backend/portable"
)

// portableSetups are goroutines over package net: as on Linux, and as on systems that have nothing but package net.
func portableSetups() []backendtest.Setup {
	return []backendtest.Setup{
		portableSetup("portable", portable.Config{}, withoutPortable),
		portableSetup("portable-plain", portable.Config{Plain: true}, withoutPlain()),
	}
}

func portableSetup(name string, c portable.Config, without map[string]string) backendtest.Setup {
	without = maps.Clone(without)
	for _, r := range backendtest.Rules() {
		if strings.HasPrefix(r.Name, "S42_Files") || r.Name == "S42_TooManyFiles" {
			without[r.Name] = "package net passes no files: see TestPortablePassesNoFiles"
		}
	}
	return backendtest.Setup{
		Name: name, Required: true, Goroutines: true, HandedOver: 64 << 10, Yardstick: epollDrivers, Without: without,
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

const (
	sendsElsewhere = "every send is made by a goroutine, later"
	allocates      = "a goroutine for each send is an allocation"
	oneSocket      = "several sockets cannot listen at one address"
	linuxPath      = "what Linux has for paths of sockets is not used: locks, and errors that tell who is there"
	linuxOption    = "it sets options, or options on listeners, that package net does not have"
	noMode         = "package net cannot give a file its mode without a moment in which it has a wider one"
	noDescriptor   = "a detached connection needs no other descriptor"
)

// withoutPlain are those that cannot hold with package net alone, too.
func withoutPlain() map[string]string {
	all := maps.Clone(withoutPortable)
	maps.Copy(all, map[string]string{
		"S05_ResetAfterOverflow":       "behind the peer's FIN package net tells no reset until something is sent",
		"Relay_ResetBehindASlowReader": "a stream that does not read learns of a reset only behind the piece that it has in memory",
		"Relay_ResetInAPause":          "a stream that does not read learns of a reset only behind the piece that it has in memory",
		"S09_DirectWrites":             sendsElsewhere, "S35_Stats": sendsElsewhere, "Sessions_ResetWhenFull": sendsElsewhere,
		"S11_ReadWhileBlocked":   "one piece is received ahead",
		"S19_FailedWrite":        "a send of another goroutine may take the error of a reset, and then package net tells the receive of an end",
		"S33_QuietBesideBulk":    "goroutines receive and send, and Go's scheduler chooses among them",
		"S13_NoSignal":           "package net's sends raise SIGPIPE, which Go ignores unless the program asks for it",
		"S20_RawConnWhileEnding": "the close of a socket that may have input waits for it a millisecond, beside the loop",
		"S25_Backlog":            "a backlog cannot be chosen",
		"S25_LockedPath":         linuxPath, "S25_OneHeir": linuxPath, "S25_UnixErrors": linuxPath,
		"S25_UnixMode": noMode, "S25_UnixModeStale": noMode, "S42_PeerCredentials": "package net does not know who the peer is",
		"S27_OneSocketShutDown": oneSocket, "S28_ParkedAreReset": oneSocket, "S28_ParkedPeersLeave": oneSocket, "S38_ListenerMoves": oneSocket,
		"S30_DetachTooManyFiles": noDescriptor, "Combine_TooManyFiles": noDescriptor,
		"S30_DetachKeepsOptions": linuxOption, "X01_SocketOptions": linuxOption, "X01_SocketOptionsDialled": linuxOption,
		"X01_SocketOptionsLive": linuxOption, "X01_SocketOptionsIPv6": linuxOption, "X02_SocketOptionsRefused": linuxOption,
		"S37_NoAllocation": allocates, "Frames_NoAllocation": allocates, "Sessions_NoAllocation": allocates,
		"S40_ErrorQueues": "package net takes what is in a socket's error queue for an error of the connection",
	})
	return all
}
