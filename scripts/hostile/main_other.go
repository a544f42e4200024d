//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	_, _ = fmt.Fprintln(os.Stderr, "hostile: it needs Linux: it attacks servers on epoll and io_uring, and reads /proc")
	os.Exit(2)
}
