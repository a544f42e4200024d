package portable

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// errnos are what package syscall calls the errors of Winsock on every system.
var errnos = map[syscall.Errno]syscall.Errno{
	windows.WSAEADDRINUSE: syscall.EADDRINUSE, windows.WSAEADDRNOTAVAIL: syscall.EADDRNOTAVAIL,
	windows.WSAEAFNOSUPPORT: syscall.EAFNOSUPPORT, windows.WSAECONNABORTED: syscall.ECONNRESET,
	windows.WSAECONNREFUSED: syscall.ECONNREFUSED, windows.WSAECONNRESET: syscall.ECONNRESET,
	windows.WSAENETRESET: syscall.ECONNRESET, windows.WSAESHUTDOWN: syscall.EPIPE, windows.WSAETIMEDOUT: syscall.ETIMEDOUT,
	windows.WSAENETUNREACH: syscall.ENETUNREACH, windows.WSAEHOSTUNREACH: syscall.EHOSTUNREACH,
	windows.WSAENOTCONN: syscall.ENOTCONN, windows.WSAEMFILE: syscall.EMFILE, windows.WSAENOBUFS: syscall.ENOBUFS,
	windows.WSAEACCES: syscall.EACCES, windows.WSAEINVAL: syscall.EINVAL,
	windows.ERROR_NETNAME_DELETED: syscall.ECONNRESET, windows.ERROR_CONNECTION_REFUSED: syscall.ECONNREFUSED,
	windows.ERROR_CONNECTION_ABORTED: syscall.ECONNRESET, windows.ERROR_SEM_TIMEOUT: syscall.ETIMEDOUT,
	windows.ERROR_NETWORK_UNREACHABLE: syscall.ENETUNREACH, windows.ERROR_HOST_UNREACHABLE: syscall.EHOSTUNREACH,
}

// common is an errno as all systems have it.
func common(e syscall.Errno) syscall.Errno {
	if c, ok := errnos[e]; ok {
		return c
	}
	return e
}
