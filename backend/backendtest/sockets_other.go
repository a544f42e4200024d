//go:build !linux

package backendtest

import (
	"errors"
	"net"
	"os"
)

// Elsewhere there is no backend to be tested.

func socketPair() (a, b *os.File, err error) { return nil, nil, errors.ErrUnsupported }

func shrinkBacklog(uintptr) error { return errors.ErrUnsupported }

func bound() (*os.File, *net.TCPAddr, error) { return nil, nil, errors.ErrUnsupported }

func makeBlocking(*os.File) error { return errors.ErrUnsupported }
