//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package portable

import (
	"errors"
	"os"
	"syscall"
)

// Elsewhere there is package net alone, and nothing calls these.

const canTry = false

const errAgain = syscall.EAGAIN

func receiveOnce(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }

func sendOnce(uintptr, [][]byte) (int, error) { return 0, errors.ErrUnsupported }

func hasInput(uintptr) bool { return false }

func hasFailed(uintptr) bool { return false }

func hasEnded(uintptr) bool { return false }

func takeError(uintptr) error { return nil }

func setBacklog(uintptr, int) error { return errors.ErrUnsupported }

// duplicateFile returns a file of its own for the socket of c, if package net can make one.
func duplicateFile(c syscall.Conn) (*os.File, error) {
	if f, ok := c.(interface{ File() (*os.File, error) }); ok {
		return f.File()
	}
	return nil, errors.ErrUnsupported
}
