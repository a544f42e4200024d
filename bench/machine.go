//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes in one line what the numbers were measured on.
func machine() string {
	return fmt.Sprintf("%s, %d CPUs, Linux %s %s, %s", processor(), runtime.NumCPU(), kernelRelease(), runtime.GOARCH,
		runtime.Version())
}

// processor is the name of the CPU, as far as the kernel tells one.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" { // arm64 has none
			return strings.TrimSpace(value)
		}
	}
	return "unnamed CPU"
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "(unknown release)"
	}
	return unix.ByteSliceToString(u.Release[:])
}
