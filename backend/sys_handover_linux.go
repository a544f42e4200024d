package backend

import "golang.org/x/sys/unix"

// unsent is how many bytes of a socket's send queue the peer's kernel has not taken yet: SIOCOUTQ, tcp(7), unix(7).
func unsent(fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	return n
}

// handedOver are the options that package net sets on a socket that it takes over.
var handedOver = [...][2]int{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY}, {unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
}

// saveOptions reads the options that package net changes when it takes over the socket, and returns a function that
// sets them again. The descriptor must be open then. Options that the socket does not have are left alone.
func saveOptions(fd int) (restore func()) {
	var values [len(handedOver)]int
	var has [len(handedOver)]bool
	for i, o := range handedOver {
		v, err := unix.GetsockoptInt(fd, o[0], o[1])
		values[i], has[i] = v, err == nil
	}
	return func() {
		for i, o := range handedOver {
			if has[i] {
				_ = unix.SetsockoptInt(fd, o[0], o[1], values[i])
			}
		}
	}
}
