//go:build linux

package process

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// spareDescriptors is how many a process needs beside its connections.
const spareDescriptors = 64

// CheckDescriptors reports more connections than a process may have files open. Go raises the soft limit to the hard one
// when a program starts, so only the hard one counts; server and load generator have the same.
func CheckDescriptors(conns int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if need := uint64(conns + spareDescriptors); need > limit.Max {
		return fmt.Errorf("%d connections need %d open files, and the limit is %d: raise it (ulimit -Hn), or take fewer",
			conns, need, limit.Max)
	}
	return nil
}
