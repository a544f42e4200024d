package session

import (
	"net"
	"strings"
)

// plainNetwork returns a network without MPTCP, and whether it is one with it: tcp4 for mptcp4. It refuses those that nobody
// listens on or dials.
func plainNetwork(network string) (plain string, multipath bool, err error) {
	plain, multipath = strings.CutPrefix(network, "mp")
	switch plain {
	case "tcp", "tcp4", "tcp6":
		return plain, multipath, nil
	case "unix", "vsock":
		if !multipath {
			return plain, false, nil
		}
	}
	return "", false, net.UnknownNetworkError(network)
}

// isTCP reports whether a network is TCP, with MPTCP or without.
func isTCP(network string) bool { return network != "unix" && network != "vsock" }
