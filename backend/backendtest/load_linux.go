package backendtest

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// errorQueue has the kernel put timestamps into the error queue of a stream. The loop sleeps, no thread of the kernel's
// works for it, and the stream goes on.
func errorQueue(e *Env) {
	if !e.once() {
		return
	}
	h := echo()
	h.Open = func(s *session.Stream) {
		raw, err := s.SyscallConn()
		assert.NoError(e, err)
		_ = raw.Control(func(fd uintptr) { err = stamps(fd) })
		assert.NoError(e, err)
		_, _ = s.Write([]byte("hello"))
	}
	t, to := e.loaded(h, nil)
	p := e.Connect(to)
	require.Equal(e, "hello", string(e.ReadAll(p, 5)))
	time.Sleep(moment)
	assert.LessOrEqual(e, turnsOf(t)[0], uint64(10), "turns in which nothing happened")
	assert.LessOrEqual(e, kernelWorkers(), 2, "threads of io_uring in the kernel")
	_, err := p.Write([]byte("go on"))
	require.NoError(e, err)
	require.Equal(e, "go on", string(e.ReadAll(p, 5)))
}

// kernelWorkers counts the threads that io_uring has started for this process.
func kernelWorkers() (n int) {
	files, _ := filepath.Glob("/proc/self/task/*/comm")
	for _, f := range files {
		if p, _ := os.ReadFile(f); strings.HasPrefix(string(p), "iou-wrk") {
			n++
		}
	}
	return n
}
