package backend

import (
	"os"
	"syscall"
)

// CallError is err with the name of the operation that failed, as package net has it, if it is a bare errno.
func CallError(op string, err error) error {
	if errno, ok := err.(syscall.Errno); ok {
		return os.NewSyscallError(op, errno)
	}
	return err
}
