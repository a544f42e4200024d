//go:build linux

package control

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/tandem-io/tandem/bench/results"
	"golang.org/x/sys/unix"
)

// Counts holds what a server counted since it began and only its own runtime knows. A client that connects to the Unix
// socket of serve --control sends one byte, and receives one line of JSON and then the end of the stream. A server
// without such a socket is measured without these counts.
type Counts struct {
	Mallocs  int64         `json:"mallocs"` // exact within some dozens: objects in the caches of the allocator are counted when a cache is filled
	GCs      int64         `json:"gcs"`
	GCPause  time.Duration `json:"gc_pause_ns"`
	Syscalls int64         `json:"syscalls"` // 0: not counted
}

// What a client sends.
const (
	askCounts  = 'c'
	askCollect = 'g' // collect garbage before
)

// Minus is the difference between two counts.
func (c Counts) Minus(d Counts) Counts {
	return Counts{c.Mallocs - d.Mallocs, c.GCs - d.GCs, c.GCPause - d.GCPause, c.Syscalls - d.Syscalls}
}

// Fill writes the difference between two counts into a sample. A number of system calls that the kernel counted takes
// precedence.
func (c Counts) Fill(s *results.Sample) {
	s.Mallocs, s.GCs, s.GCPause = c.Mallocs, c.GCs, c.GCPause
	if s.Syscalls == 0 {
		s.Syscalls = c.Syscalls
	}
}

// mallocsMetric is the number of heap objects ever allocated. Reading it does not stop the world.
const mallocsMetric = "/gc/heap/allocs:objects"

// ownCounts reads them in this process.
func ownCounts(syscalls func() int64) Counts {
	read := []metrics.Sample{{Name: mallocsMetric}}
	metrics.Read(read)
	var gc debug.GCStats
	debug.ReadGCStats(&gc)
	c := Counts{Mallocs: int64(read[0].Value.Uint64()), GCs: gc.NumGC, GCPause: gc.PauseTotal}
	if syscalls != nil {
		c.Syscalls = syscalls()
	}
	return c
}

// Serve answers on a Unix socket at path until the process ends. It uses a thread of its own that sleeps in the kernel:
// a net.Listener would start the poller of the Go runtime, which some servers do without.
func Serve(path string, syscalls func() int64) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("bind %s: %w", path, os.NewSyscallError("bind", err))
	}
	if err := unix.Listen(fd, 8); err != nil {
		_ = unix.Close(fd)
		return os.NewSyscallError("listen", err)
	}
	go func() {
		for {
			to, _, err := unix.Accept(fd)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil {
				return // clients then see that nobody answers
			}
			answer(to, syscalls)
		}
	}()
	return nil
}

// answer answers one client. It ignores one that has gone.
func answer(fd int, syscalls func() int64) {
	defer unix.Close(fd)
	var asked [1]byte
	if _, err := unix.Read(fd, asked[:]); err != nil {
		return
	}
	if asked[0] == askCollect {
		runtime.GC() // pools keep what they have over one collection
		debug.FreeOSMemory()
	}
	line, err := json.Marshal(ownCounts(syscalls))
	if err != nil {
		return
	}
	_ = unix.Sendto(fd, append(line, '\n'), unix.MSG_NOSIGNAL, nil)
}

// Ask asks a server for its counts.
func Ask(path string) (Counts, error) { return ask(path, askCounts) }

// Collect has a server collect its garbage and give memory back to the kernel, and returns its counts after that.
func Collect(path string) (Counts, error) { return ask(path, askCollect) }

func ask(path string, what byte) (c Counts, err error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return c, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return c, fmt.Errorf("ask the server at %s: %w", path, os.NewSyscallError("connect", err))
	}
	if err := unix.Sendto(fd, []byte{what}, unix.MSG_NOSIGNAL, nil); err != nil {
		return c, fmt.Errorf("ask the server at %s: %w", path, os.NewSyscallError("send", err))
	}
	line, err := io.ReadAll(f)
	if err != nil {
		return c, fmt.Errorf("ask the server at %s: %w", path, err)
	}
	if err := json.Unmarshal(line, &c); err != nil {
		return c, fmt.Errorf("ask the server at %s: %q: %w", path, line, err)
	}
	return c, nil
}
