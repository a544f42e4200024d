//go:build !linux

package difftest

import (
	"errors"
	"net"
	"syscall"
)

func receiveBuffer(uintptr, int) error { return errors.ErrUnsupported }

func failure(net.Conn) error { return errors.ErrUnsupported }

func discard(syscall.RawConn) {}
