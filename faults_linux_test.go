package tandem_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// What the tests of faults share. A fault is the kernel's: a cable that is pulled, a peer that is killed, a limit that is
// reached, a system call that is refused. Each runs in a process of its own, because it holds for a whole process, and
// many run at once, because they mostly wait:
//
//	TestFault…/epoll ──► process: a Transport ── what the fault hits ── a peer: package net, or a third process
//	TestFault…/uring ──► process …
//
// A fault that this machine cannot make is skipped, loudly; with TANDEM_REQUIRE_TOOLS=1 it fails.

// faultsAtOnce is how many processes of these tests run at a time.
const faultsAtOnce = 16

func TestMain(m *testing.M) {
	flag.Parse()
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "test.parallel" })
	if !asked {
		_ = flag.Set("test.parallel", fmt.Sprint(faultsAtOnce))
	}
	os.Exit(m.Run())
}

// untested skips a test for which something is missing.
func untested(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("TANDEM_REQUIRE_TOOLS") == "1" {
		require.Failf(t, "not tested", format, args...)
	}
	t.Skipf("NOT TESTED: "+format, args...)
}

// program finds a program, of that Debian package.
func program(t *testing.T, name, of string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		untested(t, "%v: apt-get install %s", err, of)
	}
	return path
}

// asRoot skips a test that only root can make.
func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		untested(t, "only root can make this fault")
	}
}

// process says how the process of a test differs from this one.
type process struct {
	network bool              // its network is empty but for lo
	env     []string          // added to the environment
	started func(*os.Process) // is called on a goroutine of its own once the process runs
}

// faults runs a test on each backend that runs here, in a process of its own, beside others.
func faults(t *testing.T, p process, test func(*testing.T, tandem.Backend)) {
	production(t, func(t *testing.T, b tandem.Backend) {
		t.Parallel()
		p.run(t, func(t *testing.T) {
			_ = openOrSkip(t, &tandem.Options{Backend: b, Loops: 1, Logger: silent(b).Logger}).Close()
			test(t, b)
		})
	})
}

// run runs fn, in another process, as the test t.
func (p process) run(t *testing.T, fn func(*testing.T)) {
	t.Helper()
	if os.Getenv(sandboxEnv) == t.Name() {
		fn(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 70*time.Second)
	defer cancel()
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	c := exec.CommandContext(ctx, "/proc/self/exe", "-test.run="+pattern, "-test.v")
	c.Env = append(os.Environ(), sandboxEnv+"="+t.Name(), "TANDEM_BACKEND=", "GORACE=atexit_sleep_ms=0")
	c.Env = append(c.Env, p.env...)
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGQUIT) } // it says where it is
	c.WaitDelay = 2 * time.Second
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.network {
		c.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Start()
	if err == nil {
		if p.started != nil {
			go p.started(c.Process)
		}
		err = c.Wait()
	}
	if p.network && errors.Is(err, syscall.EPERM) {
		untested(t, "no network of its own: %v", err)
	}
	text := out.String()
	require.NoError(t, err, "%s", text[:min(len(text), 24<<10)])
	require.NotContains(t, text, "no tests to run")
	if strings.Contains(text, "--- SKIP") {
		t.Skipf("%s", text)
	}
}

// patience is how long a test waits for what must happen.
const patience = 15 * time.Second

// arrives returns what comes on a channel.
func arrives[T any](t *testing.T, c <-chan T, what string, args ...any) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		require.Failf(t, "it did not come within "+patience.String(), what, args...)
	}
	return v
}

// becomes waits until it is so.
func becomes(t *testing.T, so func() bool, what string, args ...any) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			require.Failf(t, "it was not so within "+patience.String(), what, args...)
		}
	}
}

// pattern is what tests send, over and over. Its length is a prime number, so that no piece that is missing or comes
// twice leaves the rest where it was.
var pattern = randomBytes(rand.New(rand.NewPCG(7, 11)), 1048573)

// patternAt returns at most n bytes of the endless pattern.
func patternAt(at int64, n int) []byte {
	from := int(at % int64(len(pattern)))
	return pattern[from:min(from+n, len(pattern))]
}

// sendPattern writes the pattern from one place to another.
func sendPattern(w io.Writer, from, to int64) error {
	for from < to {
		n, err := w.Write(patternAt(from, int(min(to-from, 64<<10))))
		if from += int64(n); err != nil {
			return err
		}
	}
	return nil
}

// matches reports whether p is what the pattern has there.
func matches(at int64, p []byte) bool {
	for len(p) > 0 {
		want := patternAt(at, len(p))
		if !bytes.Equal(want, p[:len(want)]) {
			return false
		}
		p, at = p[len(want):], at+int64(len(want))
	}
	return true
}

// recorder is a Handler that compares what comes with the pattern, and reports how its streams begin and end. It is for
// one stream at a time.
type recorder struct {
	tandem.BaseHandler
	opened chan *tandem.Stream
	closed chan error
	got    atomic.Int64 // bytes
	wrong  atomic.Bool  // one of them was
	ended  atomic.Int32 // calls of OnEOF
}

func newRecorder() *recorder {
	return &recorder{opened: make(chan *tandem.Stream, 64), closed: make(chan error, 64)}
}

func (r *recorder) OnOpen(s *tandem.Stream) { r.opened <- s }

func (r *recorder) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	if !matches(r.got.Load(), p) {
		r.wrong.Store(true)
	}
	r.got.Add(int64(len(p)))
}

func (r *recorder) OnEOF(*tandem.Stream)                { r.ended.Add(1) }
func (r *recorder) OnClose(_ *tandem.Stream, err error) { r.closed <- err }

// nothingLeft closes a Transport, and checks that nothing of it is left.
func nothingLeft(t *testing.T, tr tandem.Transport, files int) {
	t.Helper()
	closed := make(chan error, 1)
	go func() {
		err := tr.Close()
		for end := time.Now().Add(patience); err != nil && time.Now().Before(end); {
			err = tr.Close() // a machine that is too busy looks as if a callback blocks
		}
		closed <- err
	}()
	require.NoError(t, arrives(t, closed, "the end of Close"))
	st := tr.Stats()
	require.Equal(t, st.Opened, st.Closed, "streams that opened and closed: %+v", st)
	require.Zero(t, st.Streams+st.Sockets+st.Requests+st.BuffersTaken, "what is left: %+v", st)
	becomes(t, func() bool { return openFiles() <= files }, "%d descriptors", files)
}

// openFiles is how many descriptors this process has.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}
