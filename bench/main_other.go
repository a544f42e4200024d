//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func execute([]string) int {
	fmt.Fprintf(os.Stderr, "bench needs Linux: it measures epoll and io_uring, and this is %s\n", runtime.GOOS)
	return exitFailed
}
