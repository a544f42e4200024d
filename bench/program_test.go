//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runProgram runs the program to its end and returns what it printed.
func runProgram(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// start starts a server, or skips the test if this machine cannot run it.
func start(t *testing.T, impl string) *serverChild {
	t.Helper()
	s, err := startServer(context.Background(), plan{Procs: 2}, impl)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.exited() {
			s.kill()
		}
	})
	return s
}

func TestServeAndLoadEveryImplementation(t *testing.T) {
	for _, im := range implementations() {
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name)
			// More connections than the ring of the floor has buffers, and more bytes than a buffer holds.
			for _, shape := range [][3]string{{"300", "64", "1"}, {"3", "100", "16"}, {"2", "100000", "3"}} {
				status, stdout, stderr := runProgram(t, "load", "--addr", s.addr, "--window", "200ms", "--warmup", "10ms",
					"--stall", "1m", "--pid", strconv.Itoa(s.cmd.Process.Pid),
					"--conns", shape[0], "--size", shape[1], "--depth", shape[2])
				var r loadResult
				if err := json.Unmarshal([]byte(stdout), &r); status != 0 || err != nil {
					t.Fatalf("%v: status %d, %v\n%s%s", shape, status, err, stdout, stderr)
				}
				if r.Messages == 0 || r.ServerCPU <= 0 || r.P50 <= 0 {
					t.Errorf("%v: %s", shape, stdout)
				}
			}
			if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if <-s.done; s.err != nil {
				t.Errorf("after SIGTERM: %v", s.death())
			}
		})
	}
}

// TestServerEndsWithConnectionsOpen also ends it the other way, by SIGINT.
func TestServerEndsWithConnectionsOpen(t *testing.T) {
	for _, im := range implementations() {
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name)
			for range 3 {
				c, err := net.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("x")); err != nil {
					t.Fatal(err)
				}
				if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
					t.Fatalf("echo of one byte: %d, %v", n, err)
				}
			}
			if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if <-s.done; s.err != nil {
				t.Errorf("after SIGINT: %v", s.death())
			}
		})
	}
}

func TestServeRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		args   []string
		status int
		want   []string
	}{
		"an unknown implementation": {[]string{"--impl", "nonsense"}, exitUsage, []string{`"nonsense"`, "bare-epoll", "net"}},
		"no implementation":         {nil, exitUsage, []string{"--impl", "bare-epoll"}},
		"an unknown mode":           {[]string{"--impl", "net", "--mode", "x"}, exitUsage, []string{`"x"`, modeEcho}},
		"a bad address":             {[]string{"--impl", "net", "--addr", "nowhere"}, exitUsage, []string{"HOST:PORT"}},
		"an unknown flag":           {[]string{"--imp", "net"}, exitUsage, []string{"--imp"}},
		"an argument":               {[]string{"net"}, exitUsage, []string{`"net"`}},
		"loops where there is one":  {[]string{"--impl", "bare-epoll", "--loops", "2"}, exitFailed, []string{"--loops"}},
		"net, a taken address":      {[]string{"--impl", "net", "--addr", taken.Addr().String()}, exitFailed, []string{"in use"}},
		"floor, a taken address":    {[]string{"--impl", "bare-epoll", "--addr", taken.Addr().String()}, exitFailed, []string{"in use"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := runProgram(t, append([]string{"serve"}, c.args...)...)
			if status != c.status || stdout != "" {
				t.Errorf("status %d, stdout %q, want status %d and nothing", status, stdout, c.status)
			}
			for _, want := range c.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("stderr lacks %q: %s", want, stderr)
				}
			}
		})
	}
}

func TestRunPrintsATable(t *testing.T) {
	status, stdout, stderr := runProgram(t, "run", "--impl", "bare-epoll,net", "--conns", "2,5", "--seconds", "0.1",
		"--warmup", "10ms", "--rounds", "2")
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	lines := strings.Split(stdout, "\n")
	for _, want := range []string{"2 connections × 64 B", "5 connections × 64 B"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, stdout)
		}
	}
	if got := strings.Count(stdout, "  net "); got != 2 {
		t.Errorf("net is there %d times, want 2:\n%s", got, stdout)
	}
	if strings.Contains(stdout, nothing) {
		t.Errorf("something was not measured:\n%s", stdout)
	}
	if !strings.Contains(stderr, "round 2 of 2") {
		t.Errorf("no progress on stderr: %s", stderr)
	}
}

func TestUnknownCommand(t *testing.T) {
	status, _, stderr := runProgram(t, "nonsense")
	if status != exitUsage || !strings.Contains(stderr, "nonsense") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestLastWords(t *testing.T) {
	for said, want := range map[string]string{
		"":                              "",
		"one\ntwo\n\n":                  ": two",
		"note\npanic: why\n\ngoroutine": ": panic: why",
		"SIGSEGV: segmentation violation\nPC=1\ngs 0x0\n": ": SIGSEGV: segmentation violation",
	} {
		if got := lastWords(bytes.NewBufferString(said)); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}

func TestRunReportsAServerThatDies(t *testing.T) {
	s := start(t, "net")
	r := newReport(plan{Impls: []string{"net"}, Shapes: []shape{{2, 64, 1}}, Rounds: 1, Procs: 1, Window: time.Hour})
	timer := time.AfterFunc(50*time.Millisecond, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	r.load(t.Context(), s, cell{"net", r.Shapes[0], 0})
	if len(r.failures) != 1 {
		t.Fatalf("failures: %v", r.failures)
	}
	<-s.done
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "the server ended: signal: killed") {
		t.Errorf("stop says %v, and not that the server was killed", err)
	}
}

func TestRunInterrupted(t *testing.T) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--impl", "net", "--seconds", "100")
	progress := &firstLine{line: make(chan string, 1)}
	cmd.Stdout, cmd.Stderr = &stdout, io.MultiWriter(&stderr, progress)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-progress.line
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted {
		t.Errorf("status %d, want %d\n%s", status, exitInterrupted, stderr.String())
	}
	if !strings.Contains(stdout.String(), "64 connections × 64 B") || strings.Contains(stdout.String(), "FAILED") {
		t.Errorf("no table, or failures:\n%s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "0 of 3 measurements were made") {
		t.Errorf("stderr: %s", stderr.String())
	}
}
