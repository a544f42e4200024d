//go:build !linux

package backend

import (
	"errors"
	"os"
)

// Listen is for Linux only.
func Listen(int, int) error { return errors.ErrUnsupported }

// MaxBacklog is for Linux only.
func MaxBacklog() int { return 1<<31 - 1 }

// PeerProcess is for Linux only.
func PeerProcess(int) (int, error) { return 0, errors.ErrUnsupported }

// ProcessEnded is for Linux only.
func ProcessEnded(int) bool { return false }

// LockFile is for Linux only.
func LockFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }

// UnlockFile is for Linux only.
func UnlockFile(*os.File, string) {}
