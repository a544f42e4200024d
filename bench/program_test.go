//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
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
func start(t *testing.T, impl, mode string, more ...string) *serverChild {
	t.Helper()
	var w workload
	for _, k := range kinds {
		if k.Mode == mode {
			w.Kind = k.Name
		}
	}
	s, err := startServer(context.Background(), plan{Procs: 2, ServeFlags: more}, cell{Impl: impl, Workload: w}, "")
	if errors.Is(err, errors.ErrUnsupported) {
		unsupported(t, err)
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

// TestServerEndsWithConnectionsOpen also ends it the other way, by SIGINT.
func TestServerEndsWithConnectionsOpen(t *testing.T) {
	for _, im := range implementations() {
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name, modeEcho)
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
	s := start(t, "net", modeEcho)
	c := &campaign{plan: plan{Procs: 1, Window: time.Hour}}
	timer := time.AfterFunc(50*time.Millisecond, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	at := cell{"net", workload{Kind: kindEcho, Conns: 2, Size: 64, Depth: 1}, 0}
	if ok := c.load(t.Context(), s, at); ok || len(c.Failures) != 1 || len(c.Samples) != 0 {
		t.Fatalf("ok %v, failures %v, samples %v", ok, c.Failures, c.Samples)
	}
	<-s.done
	if err := s.stop(); err == nil || !strings.Contains(err.Error(), "the server ended: signal: killed") {
		t.Errorf("stop says %v, and not that the server was killed", err)
	}
}
