//go:build !linux

package backend

import (
	"errors"
	"runtime"
)

// Elsewhere there is the driver of package portable, which needs none of these.

// CloseFD is for Linux only.
func CloseFD(int) {}

// Duplicate is for Linux only.
func Duplicate(int) (int, error) { return -1, errors.ErrUnsupported }

// Send is for Linux only.
func Send(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// LocalAddress is for Linux only.
func LocalAddress(int) Address { return Address{} }

// RemoteAddress is for Linux only.
func RemoteAddress(int) Address { return Address{} }

func closeOnExec(int) {}

func pinThread(int) (unpin func(), err error) { return nil, errors.ErrUnsupported }

func voluntarySwitches() int64 { return 0 }

// Kernel is the operating system's name.
func Kernel() string { return runtime.GOOS }
