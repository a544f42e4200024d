//go:build !((linux && amd64) || arm64)

package backend

import (
	"bytes"
	"runtime"
	"strconv"
)

// getg reads the goroutine's number from its stack trace: slow, and right everywhere.
func getg() uintptr {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if i := bytes.IndexByte(b, ' '); i > 0 {
		if n, err := strconv.ParseUint(string(b[:i]), 10, 64); err == nil {
			return uintptr(n)
		}
	}
	panic("backend: no goroutine number in the stack trace")
}
