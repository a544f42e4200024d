//go:build !linux

package backend

import (
	"errors"
	"runtime"
)

// Elsewhere nothing can run; these let programs that import the library compile.

// MaxVector is how many slices SendVector takes at most.
const MaxVector = 64

// Recv is for Linux only.
func Recv(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// Send is for Linux only.
func Send(int, []byte) (int, error) { return 0, errors.ErrUnsupported }

// SendVector is for Linux only.
func SendVector(int, [][]byte) (int, error) { return 0, errors.ErrUnsupported }

// NewSocket is for Linux only.
func NewSocket(Address) (int, error) { return -1, errors.ErrUnsupported }

// ConnectTo is for Linux only.
func ConnectTo(int, Address) error { return errors.ErrUnsupported }

// Discard is for Linux only.
func Discard(int, int) {}

// ShutdownWrite is for Linux only.
func ShutdownWrite(int) error { return errors.ErrUnsupported }

// CloseFD is for Linux only.
func CloseFD(int) {}

// ResetOnClose is for Linux only.
func ResetOnClose(int) {}

// TakeError is for Linux only.
func TakeError(int) error { return errors.ErrUnsupported }

// DrainErrors is for Linux only.
func DrainErrors(int) bool { return false }

// IsStream is for Linux only.
func IsStream(int) bool { return false }

// HasError is for Linux only.
func HasError(int) bool { return false }

// HungUp is for Linux only.
func HungUp(int) bool { return false }

// HasInput is for Linux only.
func HasInput(int) bool { return false }

// SetNoDelay is for Linux only.
func SetNoDelay(int, bool) error { return errors.ErrUnsupported }

// SetKeepAlive is for Linux only.
func SetKeepAlive(int) error { return errors.ErrUnsupported }

// SetReusePort is for Linux only.
func SetReusePort(int) error { return errors.ErrUnsupported }

// Duplicate is for Linux only.
func Duplicate(int) (int, error) { return -1, errors.ErrUnsupported }

// CloseOnExec is for Linux only.
func CloseOnExec(int) {}

// IsListening is for Linux only.
func IsListening(int) bool { return false }

// LocalAddress is for Linux only.
func LocalAddress(int) Address { return Address{} }

// RemoteAddress is for Linux only.
func RemoteAddress(int) Address { return Address{} }

// Bind is for Linux only.
func Bind(int, Address) error { return errors.ErrUnsupported }

func pinThread(int) (unpin func(), err error) { return nil, errors.ErrUnsupported }

// Kernel is the operating system's name.
func Kernel() string { return runtime.GOOS }
