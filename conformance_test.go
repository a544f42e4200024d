//go:build linux

package tandem_test

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/backendtest"
	epoll "github.com/tandem-io/tandem/backend_epoll"
	uring "github.com/tandem-io/tandem/backend_uring"
)

// TestConformance runs the whole contract: TestConformance/uring/S14_PeersFIN is one rule on one backend. Where io_uring
// cannot run its setups are skipped; with TANDEM_REQUIRE_URING=1 they fail.
func TestConformance(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.Name, func(t *testing.T) { backendtest.Run(t, s) })
	}
}

// setups are all ways to run the suite: each backend and rung, tiny rings, dialled streams, Unix sockets, each pair of
// backends, and beside many other streams.
func setups() []backendtest.Setup {
	both := []backendtest.Setup{epollSetup(), uringSetup("uring", uring.Config{})}
	all := append([]backendtest.Setup(nil), both...)
	all = append(all, tinySetup())
	for _, rung := range []string{"coop", "plain", "oneshot"} {
		all = append(all, uringSetup("uring-"+rung, uring.Config{Rung: rung}))
	}
	for _, s := range both {
		dialled, local := s, s
		dialled.Name, dialled.Dialled = s.Name+"-dialled", true
		local.Name, local.Network = s.Name+"-unix", "unix"
		all = append(all, dialled, local)
	}
	for _, s := range both {
		for _, peer := range both {
			pair := s
			pair.Name, pair.Peers, pair.Required = s.Name+"-to-"+peer.Name, peer.Drivers, s.Required || peer.Required
			all = append(all, pair)
		}
	}
	for _, s := range both {
		for _, others := range []string{"idle", "bulk"} {
			beside := s
			beside.Name, beside.Beside = s.Name+"-beside-"+others, others
			all = append(all, beside)
		}
	}
	for i, s := range both { // accepted by one, dialled by the other
		s.Name, s.TLS, s.Chosen, s.Without, s.Dialled = s.Name+"-tls", true, holdsForTLS, withoutTLS, i == 1
		all = append(all, s)
	}
	all = append(all, portableSetups()...)
	return append(all, emulatedSetups()...)
}

// holdsForTLS reports whether a rule is about the bytes and the life of a stream, which are the same with TLS.
func holdsForTLS(rule string) bool {
	return rule < "S24" || strings.HasPrefix(rule, "Frames") || strings.HasPrefix(rule, "Share") || strings.Contains(rule, "Detach")
}

const (
	usesSocket  = "it uses the socket below the Conn"
	countsPlain = "it counts plain bytes, and the queue encrypted ones"
)

// withoutTLS are rules about what differs with TLS, and why.
var withoutTLS = map[string]string{
	"S07_ExactLimit": countsPlain, "S07_WholeWrites": countsPlain, "S10_ExactHighWater": countsPlain, "S10_WaterMarks": countsPlain,
	"S12_CompletionAfterDetach": countsPlain, "S30_DetachKeepsOptions": usesSocket, "S30_DetachedAndAdopted": usesSocket,
	"S09_OneSendATurn":      "the handshake sends, too",
	"Frames_NoAllocation":   "crypto/tls allocates an object for each Read",
	"Frames_InvalidAndMore": "it looks at what waits in a pause, which is not decrypted yet",
}

func epollSetup() backendtest.Setup {
	return backendtest.Setup{
		Name: "epoll", Drivers: epollDrivers, Required: true, HandedOver: 64 << 10,
		Waits: backendtest.Waits{Calls: []uint32{unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2}, Set: "anon_inode:[eventpoll]"},
	}
}

func epollDrivers(n backendtest.Need) ([]backend.Driver, error) {
	return backend.MakeDrivers(n.Loops, func() (backend.Driver, error) {
		return epoll.New(epoll.Config{Sockets: n.Streams / n.Loops, LockedThread: n.Thread})
	})
}

func uringSetup(name string, c uring.Config) backendtest.Setup {
	return backendtest.Setup{
		Name: name, Drivers: uringDrivers(c), Required: os.Getenv("TANDEM_REQUIRE_URING") == "1",
		Requests: true, Waits: backendtest.Waits{Calls: []uint32{unix.SYS_IO_URING_ENTER}}, Yardstick: epollDrivers,
	}
}

// tinyConfig makes queues and buffers that are full all the time.
var tinyConfig = uring.Config{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}

// tinySetup is io_uring with tinyConfig.
func tinySetup() backendtest.Setup {
	c := tinyConfig
	most := 8 * c.Buffers // the buffers that there may be, since their number grows
	s := uringSetup("uring-tiny", c)
	s.Tiny, s.HandedOver, s.Turns = true, most*c.BufferSize, most/c.CompletionEntries
	return s
}

func uringDrivers(base uring.Config) backendtest.Drivers {
	return func(n backendtest.Need) ([]backend.Driver, error) {
		c := base
		c.Sockets, c.Outlived = n.Streams/n.Loops, n.Driven
		if n.Queue > 0 {
			c.Entries, c.CompletionEntries = n.Queue, 2*n.Queue
		}
		if n.Buffers > 0 && c.Buffers == 0 {
			c.Buffers = n.Buffers
		}
		if n.BufferSize > 0 && c.BufferSize == 0 {
			c.BufferSize = n.BufferSize
		}
		return uring.NewAll(c, n.Loops)
	}
}
