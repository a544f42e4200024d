//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// How long a child may take to start listening, and to end after SIGTERM.
const (
	startLimit = 5 * time.Second
	stopLimit  = 5 * time.Second
)

// command prepares a child: this program again, in a process group of its own, so that Ctrl-C reaches the parent alone,
// which then ends its children itself. Should the parent be killed, its children are too; the kernel ties that to the
// parent's thread, so the caller has to be locked to its own.
func command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd, nil
}

// serverChild is a server in a process of its own.
type serverChild struct {
	cmd     *exec.Cmd
	addr    string
	control string       // where it tells its counts; "": nowhere
	details string       // what it says of itself
	stderr  bytes.Buffer // complete when done is closed
	done    chan struct{}
	err     error // how it ended; set when done is closed
}

// startServer starts an implementation, to tell its counts at control unless that is "", and waits until it listens.
func startServer(ctx context.Context, p plan, at cell, control string) (*serverChild, error) {
	args, err := p.serveArguments(at, control)
	if err != nil {
		return nil, err
	}
	cmd, err := command(context.WithoutCancel(ctx), args...) // stop ends it
	if err != nil {
		return nil, err
	}
	listening := &firstLine{line: make(chan string, 1)}
	s := &serverChild{cmd: cmd, control: control, done: make(chan struct{})}
	cmd.Env = append(os.Environ(), "GOMAXPROCS="+strconv.Itoa(p.Procs))
	cmd.Stdout, cmd.Stderr = listening, &s.stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go func() {
		s.err = cmd.Wait()
		close(s.done)
	}()
	select {
	case line := <-listening.line:
		if s.addr, s.details, err = parseListening(line); err != nil {
			s.kill()
			return nil, err
		}
		return s, nil
	case <-s.done:
		return nil, s.death()
	case <-ctx.Done():
		s.kill()
		return nil, context.Cause(ctx)
	case <-time.After(startLimit):
		s.kill()
		return nil, fmt.Errorf("the server did not listen within %v%s", startLimit, lastWords(&s.stderr))
	}
}

// serveArguments is the command line of a server for one measurement.
func (p plan) serveArguments(at cell, control string) ([]string, error) {
	im, err := findImplementation(at.Impl)
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--impl", im.Name, "--addr", "127.0.0.1:0", "--mode", at.Workload.mode()}
	if im.Loops {
		args = append(args, "--loops", strconv.Itoa(p.Procs))
	}
	if control != "" {
		args = append(args, "--control", control)
	}
	if mode := at.Workload.mode(); p.Work > 0 && !im.Bare && (mode == modeEcho || mode == modeFrameEcho) {
		args = append(args, "--work", p.Work.String())
	}
	args = append(args, p.ServeFlags...)
	return append(args, cpuFlag(p.ServerCPUs)...), nil
}

// listeningLine is what serve prints when it listens: address, implementation, mode, details.
const listeningLine = "listening on %v impl %s mode %s %s"

// parseListening takes the address and the details out of the line.
func parseListening(line string) (addr, details string, err error) {
	var impl, mode string
	if n, _ := fmt.Sscanf(line, listeningLine, &addr, &impl, &mode, &details); n < 3 {
		return "", "", fmt.Errorf("the server's first line is %q, and should say where it listens", line)
	}
	// Sscanf takes one word; the details are the rest.
	_, rest, _ := strings.Cut(line, " mode "+mode)
	return addr, strings.TrimSpace(rest), nil
}

// stop ends the server as a user would, and reports if it does not end well.
func (s *serverChild) stop() error {
	if s.exited() {
		return s.death()
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the server: %w", err)
	}
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		s.kill()
		return fmt.Errorf("the server did not end within %v after SIGTERM", stopLimit)
	}
	if s.err != nil {
		return s.death()
	}
	return nil
}

// kill ends the server at once. Nothing is to be known about how it ended.
func (s *serverChild) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

func (s *serverChild) exited() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// death says how the server ended. It has to have ended.
func (s *serverChild) death() error {
	if s.cmd.ProcessState != nil && s.cmd.ProcessState.ExitCode() == exitUnsupported {
		return fmt.Errorf("cannot run here (%w)%s", errors.ErrUnsupported, lastWords(&s.stderr))
	}
	how := "exit status 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("the server ended: %s%s", how, lastWords(&s.stderr))
}

// loadServer runs one measurement in a child.
func loadServer(ctx context.Context, p plan, s *serverChild, w workload) (sample, error) {
	cmd, err := command(ctx, p.loadArguments(s, w)...)
	if err != nil {
		return sample{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("load: %w%s", err, lastWords(&stderr))
	}
	var r sample
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return sample{}, fmt.Errorf("load: read its result: %w", err)
	}
	return r, nil
}

// loadArguments is the command line of the load generator for one measurement.
func (p plan) loadArguments(s *serverChild, w workload) []string {
	args := []string{"load", "--addr", s.addr, "--pid", strconv.Itoa(s.cmd.Process.Pid), "--kind", w.Kind,
		"--conns", strconv.Itoa(w.Conns), "--size", strconv.Itoa(w.Size), "--depth", strconv.Itoa(w.Depth),
		"--rate", strconv.Itoa(w.Rate), "--warmup", p.Warmup.String(), "--window", p.Window.String()}
	if s.control != "" {
		args = append(args, "--control", s.control)
	}
	if p.Syscalls {
		args = append(args, "--syscalls")
	}
	return append(args, cpuFlag(p.LoadCPUs)...)
}

func cpuFlag(cpus []int) []string {
	if len(cpus) == 0 {
		return nil
	}
	return []string{"--cpus", strings.Trim(strings.ReplaceAll(fmt.Sprint(cpus), " ", ","), "[]")}
}

// crash is how the Go runtime begins to say that a program cannot go on.
var crash = regexp.MustCompile(`^(panic|fatal error|SIG[A-Z]+): `)

// lastWords is what a child said on its standard error before it ended, to be put behind an error: the last line, or
// the first of a crash.
func lastWords(stderr *bytes.Buffer) string {
	var last string
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSpace(line)
		if line != "" {
			last = ": " + line
		}
		if crash.MatchString(line) {
			break
		}
	}
	return last
}

// firstLine hands on the first line written to it, and drops the rest.
type firstLine struct {
	line chan string // has room for it
	head []byte
	sent bool
}

// Write implements io.Writer.
func (w *firstLine) Write(p []byte) (int, error) {
	if w.sent {
		return len(p), nil
	}
	w.head = append(w.head, p...)
	if line, _, ok := bytes.Cut(w.head, []byte{'\n'}); ok {
		w.sent = true
		w.line <- string(line)
	}
	return len(p), nil
}
