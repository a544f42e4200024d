//go:build !linux

package backend

import (
	"errors"
	"syscall"
)

// Elsewhere there are the options that package net has.

// CheckSocketOptions returns an error for the first option that no socket of the network could have at this place.
func CheckSocketOptions(network string, options []SocketOption, _ SocketPlace) error {
	for _, o := range options {
		switch o.kind {
		case optSendBuffer, optReceiveBuffer:
		case optNoDelay, optLinger, optKeepAlive:
			switch {
			case network == "unix" || network == "vsock":
				return o.failed(syscall.EINVAL, "it does nothing on a Unix socket; leave it out there")
			case o.kind == optLinger && o.span > 0:
				return o.failed(syscall.EINVAL, "a close would block the loop; use 0 or -1, and CloseTimeout")
			}
		default:
			return o.failed(errors.ErrUnsupported, "it is for Linux; leave it out here")
		}
	}
	return nil
}

// OptionsToReapply returns none: the driver remembers what it has to set again.
func OptionsToReapply(string, []SocketOption, SocketPlace) []SocketOption { return nil }

// GetSocketOption is for Linux only.
func GetSocketOption(_ int, o SocketOption) (SocketOption, error) {
	return SocketOption{}, o.failed(errors.ErrUnsupported, "")
}
