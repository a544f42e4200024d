//go:build !windows

package portable

import "syscall"

// common is an errno as all systems have it.
func common(e syscall.Errno) syscall.Errno { return e }
