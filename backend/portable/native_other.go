//go:build !linux

package portable

import (
	"errors"
	"net"
	"os"
	"syscall"

	"github.com/tandem-io/tandem/backend"
)

// Elsewhere nothing calls these.

const native = false

func unsent(uintptr) int { return 0 }

func setNative(uintptr, []backend.SocketOption, backend.SocketPlace) error {
	return errors.ErrUnsupported
}

func getNative(_ uintptr, o backend.SocketOption) (backend.SocketOption, error) {
	return o, errors.ErrUnsupported
}

func credentialsNative(uintptr) (backend.PeerCredentials, error) {
	return backend.PeerCredentials{}, errors.ErrUnsupported
}

func handOverNative(uintptr) (net.Conn, error) { return nil, errors.ErrUnsupported }

func listenNative(string, string, backend.ListenSocket) (*os.File, backend.Listening, error) {
	return nil, backend.Listening{}, errors.ErrUnsupported
}

func adoptListenerNative(string, syscall.Conn) (*os.File, backend.Listening, error) {
	return nil, backend.Listening{}, errors.ErrUnsupported
}

func adoptNative(syscall.Conn) (*os.File, backend.Address, error) {
	return nil, backend.Address{}, errors.ErrUnsupported
}

func maxBacklog() int { return 1<<16 - 1 }
