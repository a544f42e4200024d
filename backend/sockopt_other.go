//go:build !linux

package backend

import "errors"

// CheckSocketOptions is for Linux only.
func CheckSocketOptions(_ string, options []SocketOption, _ SocketPlace) error {
	for _, o := range options {
		return &SocketOptionError{Option: o, Err: errors.ErrUnsupported}
	}
	return nil
}

// OptionsToReapply is for Linux only.
func OptionsToReapply(string, []SocketOption, SocketPlace) []SocketOption { return nil }

// GetSocketOption is for Linux only.
func GetSocketOption(_ int, o SocketOption) (SocketOption, error) {
	return SocketOption{}, &SocketOptionError{Option: o, Err: errors.ErrUnsupported}
}
