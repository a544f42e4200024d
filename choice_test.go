//go:build linux

package tandem_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend"
)

// The choice of a backend where io_uring is refused. A seccomp filter cannot be taken back, nor can a program be sure to
// get its limits back, so each case is a process of its own: this test binary, with childEnv set.
const childEnv = "TANDEM_TEST_CHILD"

// refusals are what a seccomp filter does to the system calls of io_uring.
var refusals = map[string]struct {
	calls []uint32
	errno syscall.Errno
	cause string // what the reason must name
}{
	"EPERM":           {[]uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, unix.EPERM, "setup"},
	"ENOSYS":          {[]uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, unix.ENOSYS, "setup"},
	"EACCES":          {[]uint32{unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, unix.EACCES, "setup"},
	"enter+register":  {[]uint32{unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER}, unix.EPERM, "register"},
	"enter":           {[]uint32{unix.SYS_IO_URING_ENTER}, unix.EPERM, "enter"},
	"enter, ENOSYS":   {[]uint32{unix.SYS_IO_URING_ENTER}, unix.ENOSYS, "enter"},
	"register":        {[]uint32{unix.SYS_IO_URING_REGISTER}, unix.EPERM, "register"},
	"setup of rings":  {[]uint32{unix.SYS_IO_URING_SETUP}, unix.EPERM, "setup"},
	"register ENOSYS": {[]uint32{unix.SYS_IO_URING_REGISTER}, unix.ENOSYS, "register"},
}

func TestChoice(t *testing.T) {
	switch child := os.Getenv(childEnv); {
	case child == "files":
		tooFewFiles(t)
		return
	case child != "":
		refused(t, child)
		return
	}
	cases := []string{"files"}
	for name := range refusals {
		cases = append(cases, name)
	}
	for _, name := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestChoice$", "-test.v")
			// The race detector would let each child sleep for a second at its end.
			c.Env = append(os.Environ(), childEnv+"="+name, "TANDEM_BACKEND=", "GORACE=atexit_sleep_ms=0")
			out, err := c.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.NotContains(t, string(out), "--- SKIP")
		})
	}
}

// refused runs under a filter.
func refused(t *testing.T, name string) {
	r, ok := refusals[name]
	require.True(t, ok, "no case %q", name)
	require.NoError(t, filter(r.errno, r.calls))
	if r, w, err := os.Pipe(); err == nil { // the runtime makes its poller now
		_, _ = r.Close(), w.Close()
	}
	before := descriptors(t)
	o := &tandem.Options{Loops: 2, Logger: slog.New(slog.DiscardHandler)}
	tr, err := tandem.Open(o)
	require.NoError(t, err, "Auto does not fall back")
	i := tr.Info()
	assert.Equal(t, tandem.Epoll, i.Backend, "what Auto means")
	for _, part := range []string{"uring", r.cause, r.errno.Error()} {
		assert.Contains(t, i.Reason, part)
	}
	talk(t, tr)
	assert.NoError(t, tr.Shutdown(t.Context()))
	t.Setenv("TANDEM_BACKEND", "uring") // which is to name a backend, as Options.Backend is
	_, err = tandem.Open(o)
	namesCure(t, err, r.errno)
	t.Setenv("TANDEM_BACKEND", "")
	o.Backend = tandem.Uring
	_, err = tandem.Open(o)
	namesCure(t, err, r.errno)
	for _, rung := range []string{"defer", "coop", "plain", "oneshot"} {
		o.Uring.Rung = rung
		_, err := tandem.Open(o)
		assert.ErrorIs(t, err, errors.ErrUnsupported, "on the rung %s", rung)
		assert.ErrorIs(t, err, r.errno, "on the rung %s", rung)
	}
	after := descriptors(t)
	assert.LessOrEqual(t, len(after), len(before), "descriptors are left: %q, before: %q", after, before)
}

// namesCure checks the error of a program that asks for io_uring where it is refused.
func namesCure(t *testing.T, err error, errno syscall.Errno) {
	t.Helper()
	var u *backend.UnsupportedError
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorIs(t, err, errno)
	require.ErrorAs(t, err, &u)
	require.NotEmpty(t, u.Cure)
	cures := []string{"seccomp", "io_uring_setup", "io_uring_enter", "io_uring_register"}
	if errno != unix.ENOSYS {
		if b, err := os.ReadFile("/proc/sys/kernel/io_uring_disabled"); err == nil {
			cures = append(cures[:1], "kernel.io_uring_disabled is "+strings.TrimSpace(string(b)))
			if strings.TrimSpace(string(b)) != "0" {
				cures = cures[1:]
			}
		}
	}
	for _, part := range cures {
		assert.ErrorContains(t, err, part)
	}
}

// talk has a stream of the Transport answer.
func talk(t *testing.T, tr tandem.Transport) {
	t.Helper()
	l, err := tr.Listen("tcp", "127.0.0.1:0", answering{}, nil)
	require.NoError(t, err)
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	answer := make([]byte, 4)
	_, err = c.Write([]byte("ping"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, answer)
	require.NoError(t, err)
	require.Equal(t, "ping", string(answer), "the answer")
}

// answering answers what comes.
type answering struct{ tandem.BaseHandler }

func (answering) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}

// tooFewFiles opens Transports with room for no descriptor, one, two and so on, until there is enough. Every failure
// names its step and its cure, and leaves nothing.
func tooFewFiles(t *testing.T) {
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if tr, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)}); err == nil {
		_ = tr.Close() // the runtime has its own descriptors now
	}
	first := lowestFree(t)
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring, tandem.Auto} {
		failures := 0
		for room := 0; ; room++ {
			require.LessOrEqual(t, room, 40, "%v does not open with room for so many descriptors", b)
			err := openWithRoom(t, b, first, room, limit)
			if err == nil {
				break
			}
			if errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, unix.EMFILE) {
				t.Logf("NOT TESTED: %v cannot run here: %v", b, err)
				failures++
				break
			}
			failures++
			for _, part := range []string{"too many open files", "ulimit -n", "open"} {
				assert.ErrorContains(t, err, part, "%v with room for %d descriptors", b, room)
			}
			assert.ErrorIs(t, err, unix.EMFILE, "%v with room for %d descriptors", b, room)
		}
		assert.NotZero(t, failures, "%v opens with room for no descriptor", b)
	}
}

func openWithRoom(t *testing.T, b tandem.Backend, first, room int, limit unix.Rlimit) error {
	t.Helper()
	before := descriptors(t)
	low := unix.Rlimit{Cur: uint64(first + room), Max: limit.Max}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &low))
	tr, err := tandem.Open(&tandem.Options{Backend: b, Loops: 8, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_ = tr.Close()
	}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	after := descriptors(t)
	assert.LessOrEqual(t, len(after), len(before), "%v with room for %d descriptors: left are %q, before: %q", b, room, after, before)
	return err
}

// lowestFree is the number that the next descriptor gets, above which there must be none.
func lowestFree(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/")
	require.NoError(t, err)
	defer f.Close()
	return int(f.Fd())
}

func descriptors(t *testing.T) (all []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, f := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil {
			all = append(all, f.Name()+" -> "+target)
		}
	}
	return all
}
