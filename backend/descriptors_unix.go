//go:build unix

package backend

import "syscall"

// descriptorLimit is how many descriptors the process may have. Package os has raised it, to what the system allows.
func descriptorLimit() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur)
}
