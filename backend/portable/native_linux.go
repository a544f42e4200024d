package portable

import (
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// What Linux adds is that of the other drivers for Linux, on the descriptors below package net.

const native = true // the functions of this file do what they say

func linux(fd uintptr) (backend.Linux, backend.Descriptor) {
	return backend.Linux{}, backend.NewDescriptor(int(fd))
}

func unsent(fd uintptr) int {
	l, d := linux(fd)
	return l.Unsent(d)
}

func setNative(fd uintptr, options []backend.SocketOption, at backend.SocketPlace) error {
	l, d := linux(fd)
	return l.SetOptions(d, options, at)
}

func getNative(fd uintptr, o backend.SocketOption) (backend.SocketOption, error) {
	l, d := linux(fd)
	return l.Option(d, o)
}

func credentialsNative(fd uintptr) (backend.PeerCredentials, error) {
	l, d := linux(fd)
	return l.PeerCredentials(d)
}

func handOverNative(fd uintptr) (net.Conn, error) {
	l, d := linux(fd)
	return l.HandOver(d)
}

// listenNative returns a file of the listening socket.
func listenNative(network, address string, o backend.ListenSocket) (*os.File, backend.Listening, error) {
	return ofListening(backend.Linux{}.Listen(network, address, o))
}

func adoptListenerNative(network string, c syscall.Conn) (*os.File, backend.Listening, error) {
	return ofListening(backend.Linux{}.AdoptListener(network, c))
}

func ofListening(at backend.Listening, err error) (*os.File, backend.Listening, error) {
	if err != nil {
		return nil, at, err
	}
	return os.NewFile(uintptr(at.FD()), "listener"), at, nil
}

// adoptNative returns a file of the connected socket.
func adoptNative(c syscall.Conn) (*os.File, backend.Address, error) {
	d, remote, err := backend.Linux{}.Adopt(c)
	if err != nil {
		return nil, remote, err
	}
	return os.NewFile(uintptr(d.FD()), "socket"), remote, nil
}

func maxBacklog() int { return backend.Linux{}.MaxBacklog() }
