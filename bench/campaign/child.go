//go:build linux

package campaign

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

	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
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

// Server is a server in a process of its own.
type Server struct {
	cmd     *exec.Cmd
	Addr    string
	socket  string       // where it reports its counts; "": nowhere
	details string       // its description of itself
	stderr  bytes.Buffer // complete when done is closed
	done    chan struct{}
	err     error // how it ended; set when done is closed
}

// StartServer starts an implementation and waits until it listens. The server reports its counts at socket, unless that
// is "".
func StartServer(ctx context.Context, p Plan, at Cell, socket string) (*Server, error) {
	args, err := p.serveArguments(at, socket)
	if err != nil {
		return nil, err
	}
	cmd, err := command(context.WithoutCancel(ctx), args...) // stop ends it
	if err != nil {
		return nil, err
	}
	listening := &firstLine{line: make(chan string, 1)}
	s := &Server{cmd: cmd, socket: socket, done: make(chan struct{})}
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
		if s.Addr, s.details, err = parseListening(line); err != nil {
			s.Kill()
			return nil, err
		}
		return s, nil
	case <-s.done:
		return nil, s.death()
	case <-ctx.Done():
		s.Kill()
		return nil, context.Cause(ctx)
	case <-time.After(startLimit):
		s.Kill()
		return nil, fmt.Errorf("the server did not listen within %v%s", startLimit, lastWords(&s.stderr))
	}
}

// Stop ends the server as a user would, and returns an error if it does not end well.
func (s *Server) Stop() error {
	if s.Exited() {
		return s.death()
	}
	if err := s.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end the server: %w", err)
	}
	select {
	case <-s.done:
	case <-time.After(stopLimit):
		s.Kill()
		return fmt.Errorf("the server did not end within %v after SIGTERM", stopLimit)
	}
	if s.err != nil {
		return s.death()
	}
	return nil
}

// Kill ends the server at once and ignores how it ended.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Signal sends a signal to the server.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Wait waits until the server has ended, and returns an error if it did not end well.
func (s *Server) Wait() error {
	if <-s.done; s.err != nil {
		return s.death()
	}
	return nil
}

// Exited reports whether the server has ended.
func (s *Server) Exited() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// death says how the server ended. It has to have ended.
func (s *Server) death() error {
	if s.cmd.ProcessState != nil && s.cmd.ProcessState.ExitCode() == ExitUnsupported {
		return fmt.Errorf("cannot run here (%w)%s", errors.ErrUnsupported, lastWords(&s.stderr))
	}
	how := "exit status 0"
	if s.err != nil {
		how = s.err.Error()
	}
	return fmt.Errorf("the server ended: %s%s", how, lastWords(&s.stderr))
}

// loadServer runs one measurement in a child.
func loadServer(ctx context.Context, p Plan, s *Server, w workload.Workload) (results.Sample, error) {
	cmd, err := command(ctx, p.loadArguments(s, w)...)
	if err != nil {
		return results.Sample{}, err
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return results.Sample{}, fmt.Errorf("load: %w%s", err, lastWords(&stderr))
	}
	var r results.Sample
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return results.Sample{}, fmt.Errorf("load: read its result: %w", err)
	}
	return r, nil
}

// crash is how the Go runtime begins to say that a program cannot go on.
var crash = regexp.MustCompile(`^(panic|fatal error|SIG[A-Z]+): `)

// lastWords returns the last line that a child wrote to its standard error, or the first line of a crash, formatted to
// be appended to an error.
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

// firstLine passes on the first line written to it, and drops the rest.
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
