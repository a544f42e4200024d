package tandem_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// server is a process of this test binary that listens when it is told to.
type server struct {
	*testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

const serverEnv = "TANDEM_TEST_SERVER" // the backend

// TestServerProcess is the other end of startServer. Each line is "listen NETWORK ADDRESS" or "close".
func TestServerProcess(t *testing.T) {
	name := os.Getenv(serverEnv)
	if name == "" {
		t.Skip("it is for the processes that other tests start")
	}
	o := &tandem.Options{Loops: 1, Logger: slog.New(slog.DiscardHandler)}
	require.NoError(t, o.Backend.UnmarshalText([]byte(name)))
	tr, err := tandem.Open(o)
	require.NoError(t, err)
	fmt.Println("ready")
	var l tandem.Listener
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if words[0] == "close" {
			fmt.Println("closed", l.Close())
			continue
		}
		l, err = tr.Listen(words[1], words[2], echoHandler{}, nil)
		switch {
		case err == nil:
			fmt.Println("listening", l.Addr())
		case errors.Is(err, syscall.EADDRINUSE):
			fmt.Println("taken", err)
		default:
			fmt.Println("failed", err)
		}
	}
	_ = tr.Close()
}

func startServer(t *testing.T, backend tandem.Backend) *server {
	t.Helper()
	return startProcess(t, "TestServerProcess", backend)
}

// startProcess starts a process that runs a test which prints "ready" and then waits for commands.
func startProcess(t *testing.T, test string, backend tandem.Backend) *server {
	t.Helper()
	s := &server{T: t, cmd: exec.Command("/proc/self/exe", "-test.run=^"+test+"$")}
	s.cmd.Env = append(os.Environ(), serverEnv+"="+backend.String())
	s.cmd.Stderr = os.Stderr
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.out = bufio.NewReader(out)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	if word, rest := s.answer(); word != "ready" {
		require.Fail(t, "a server process does not start", "%s %s", word, rest)
	}
	return s
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *server) tell(format string, args ...any) {
	s.Helper()
	_, err := fmt.Fprintf(s.in, format+"\n", args...)
	require.NoError(s, err)
}

// answer reads a line: its first word, and the rest.
func (s *server) answer() (word, rest string) {
	s.Helper()
	timer := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	line, err := s.out.ReadString('\n')
	require.NoError(s, err, "a server process says nothing")
	word, rest, _ = strings.Cut(strings.TrimSpace(line), " ")
	return word, rest
}

// eachBackend runs fn on both, where they can run.
func eachBackend(t *testing.T, fn func(*testing.T, tandem.Backend)) {
	backends(t, func(t *testing.T, b tandem.Backend) {
		_ = openOrSkip(t, &tandem.Options{Backend: b, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		fn(t, b)
	})
}

// stale makes a socket file at which nobody listens.
func stale(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
}

// TestStaleSocketFileBetweenProcesses has processes begin at once at a path at which nobody listens any longer.
func TestStaleSocketFileBetweenProcesses(t *testing.T) {
	eachBackend(t, func(t *testing.T, b tandem.Backend) {
		servers := []*server{startServer(t, b), startServer(t, b), startServer(t, b)}
		path := filepath.Join(t.TempDir(), "s")
		for range 40 {
			stale(t, path)
			for _, s := range servers {
				s.tell("listen unix %s", path)
			}
			var winners []*server
			for _, s := range servers {
				switch word, rest := s.answer(); word {
				case "listening":
					winners = append(winners, s)
				case "failed":
					assert.Fail(t, "not an address in use", rest)
				}
			}
			require.Len(t, winners, 1, "processes that listen at one path")
			c, err := net.Dial("unix", path)
			require.NoError(t, err)
			_ = c.Close()
			winners[0].tell("close")
			word, rest := winners[0].answer()
			require.Equal(t, "closed <nil>", word+" "+rest)
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Empty(t, left, "files that are left")
		}
	})
}

// TestDeathAtAStaleSocketFile kills a process while it replaces a stale file, at some point. Another one succeeds.
func TestDeathAtAStaleSocketFile(t *testing.T) {
	eachBackend(t, func(t *testing.T, b tandem.Backend) {
		path := filepath.Join(t.TempDir(), "s")
		survivor := startServer(t, b)
		for i := range 15 {
			stale(t, path)
			dies := startServer(t, b)
			dies.tell("listen unix %s", path)
			time.Sleep(time.Duration(i) * 50 * time.Microsecond)
			dies.kill()
			survivor.tell("listen unix %s", path)
			word, rest := survivor.answer()
			require.Equal(t, "listening", word, rest)
			survivor.tell("close")
			survivor.answer()
			left, err := os.ReadDir(filepath.Dir(path))
			require.NoError(t, err)
			require.Empty(t, left, "files that are left")
		}
	})
}

// TestListenAfterAKill takes over the address of a process that was killed with connections open. With io_uring the
// kernel frees it late.
func TestListenAfterAKill(t *testing.T) {
	eachBackend(t, func(t *testing.T, b tandem.Backend) {
		tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
		for network, address := range map[string]string{
			"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s"),
		} {
			for range 3 {
				s := startServer(t, b)
				s.tell("listen %s %s", network, address)
				word, at := s.answer()
				require.Equal(t, "listening", word, at)
				for range 20 {
					c, err := net.Dial(network, at)
					require.NoError(t, err)
					defer c.Close()
					_, err = c.Write([]byte("x"))
					require.NoError(t, err)
					_, err = io.ReadFull(c, make([]byte, 1))
					require.NoError(t, err)
				}
				s.kill()
				l, err := tr.Listen(network, at, echoHandler{}, nil)
				require.NoError(t, err, "the address of a process that was killed")
				require.NoError(t, l.Close())
			}
		}
	})
}
