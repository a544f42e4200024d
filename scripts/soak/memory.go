//go:build linux

package main

import (
	"os"
	"strconv"
	"strings"
	"sync"
)

// The kernel resets connections that a process has closed, with all that was still to be sent, while TCP has more memory
// than net.ipv4.tcp_mem allows: tcp_check_oom in net/ipv4/tcp.c. That is memory of the whole machine, so others can bring
// it about.

// memory looks how often it has.
type memory struct {
	open sync.Once
	file *os.File // stays open: descriptors may be short when it is needed
}

// aborts is the kernel's TcpExt: TCPAbortOnMemory, or 0 if that cannot be read.
func (m *memory) aborts() uint64 {
	m.open.Do(func() { m.file, _ = os.Open("/proc/net/netstat") })
	b := make([]byte, 16<<10)
	n, _ := m.file.ReadAt(b, 0)
	return counter(string(b[:max(n, 0)]), "TcpExt:", "TCPAbortOnMemory")
}

// counter returns a figure of netstat: for each protocol a line of names, and one of figures.
func counter(text, protocol, name string) uint64 {
	var names []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] != protocol:
		case names == nil:
			names = f
		default:
			for i, v := range f[:min(len(f), len(names))] {
				if names[i] == name {
					n, _ := strconv.ParseUint(v, 10, 64)
					return n
				}
			}
		}
	}
	return 0
}
