//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestRunPrintsAndWritesWhatItMeasured(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.json")
	status, stdout, stderr := runProgram(t, "run", "--impl", "bare-epoll,net,evio", "--kind", "echo,worker", "--conns", "2",
		"--seconds", "0.1", "--warmup", "10ms", "--rounds", "2", "--out", out, "--label", "a test")
	if status != 0 {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	r, err := results.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	echo := workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}
	worker := workload.Workload{Kind: workload.KindWorker, Conns: 2, Size: 64, Depth: 1}
	var got []campaign.Cell
	for _, s := range r.Samples {
		got = append(got, campaign.Cell{Impl: s.Impl, Workload: s.Workload, Round: s.Round})
		if s.Messages == 0 || s.ServerCPU == 0 || s.ClientCPU == 0 || s.Resident == 0 || s.Latency == "" || s.Voluntary == 0 {
			t.Errorf("something was not measured: %+v", s)
		}
	}
	want := []campaign.Cell{
		{Impl: "bare-epoll", Workload: echo, Round: 0}, {Impl: "net", Workload: echo, Round: 0}, {Impl: "evio", Workload: echo, Round: 0}, {Impl: "net", Workload: worker, Round: 0},
		{Impl: "bare-epoll", Workload: echo, Round: 1}, {Impl: "net", Workload: echo, Round: 1}, {Impl: "evio", Workload: echo, Round: 1}, {Impl: "net", Workload: worker, Round: 1},
	}
	if !slices.Equal(got, want) {
		t.Errorf("samples of %v\nwant %v", got, want)
	}
	if r.Label != "a test" || r.Took <= 0 || r.Setting.Rounds != 2 || r.Setting.Network != "loopback" || len(r.Failures) > 0 {
		t.Errorf("results: %+v", r)
	}
	if m := r.Machine; m.CPUs == 0 || m.Memory == 0 || m.Kernel == "" || m.Go == "" || m.Modules["github.com/tidwall/evio"] != "v1.0.8" {
		t.Errorf("machine: %+v", m)
	}
	if len(r.Servers) != 3 || r.Servers[2].Impl != "evio" || r.Servers[2].Version != "v1.0.8" {
		t.Errorf("servers: %+v", r.Servers)
	}
	if len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "no mode worker: bare-epoll, evio") {
		t.Errorf("notes: %q", r.Notes)
	}
	if !strings.Contains(stdout, echo.String()) || !strings.Contains(stdout, worker.String()) {
		t.Errorf("the table lacks a workload:\n%s", stdout)
	}
	if !strings.Contains(stderr, "round 2 of 2") || !strings.Contains(stderr, "s left") {
		t.Errorf("no progress on stderr: %s", stderr)
	}
}

// lineCounter closes reached when so many lines have been written.
type lineCounter struct {
	text    bytes.Buffer
	lines   int
	reached chan struct{}
}

// Write implements io.Writer.
func (w *lineCounter) Write(p []byte) (int, error) {
	before := w.lines
	w.lines -= bytes.Count(p, []byte("\n"))
	if before > 0 && w.lines <= 0 {
		close(w.reached)
	}
	return w.text.Write(p)
}

// String is what was written. Nobody may write any more.
func (w *lineCounter) String() string { return w.text.String() }

// TestCtrlCKeepsWhatWasMeasured interrupts a run that would take hours, once its third round has begun.
func TestCtrlCKeepsWhatWasMeasured(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.json")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--impl", "net", "--conns", "2", "--seconds", "0.05",
		"--warmup", "1ms", "--rounds", "100000", "--out", out)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stdout bytes.Buffer
	stderr := &lineCounter{lines: 4, reached: make(chan struct{})} // what is planned, and a line for each round
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-stderr.reached
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted {
		t.Errorf("status %d, want %d\n%s", status, exitInterrupted, stderr)
	}
	r, err := results.Read(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Samples) < 2 || len(r.Failures) > 0 {
		t.Errorf("%d samples, failures %v", len(r.Samples), r.Failures)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, "not complete: ") }) {
		t.Errorf("notes: %q", r.Notes)
	}
	if title := (workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}).String(); !strings.Contains(stdout.String(), title) {
		t.Errorf("no table:\n%s", stdout.String())
	}
	if !strings.Contains(stderr.String(), "of 100000 measurements were made") {
		t.Errorf("stderr: %s", stderr)
	}
}

// TestInterruptedAtOnce: nothing was measured, and that is said, too.
func TestInterruptedAtOnce(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--impl", "net", "--seconds", "100")
	stderr := &lineCounter{lines: 2, reached: make(chan struct{})}
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-stderr.reached
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted {
		t.Errorf("status %d, want %d\n%s", status, exitInterrupted, stderr)
	}
	if !strings.Contains(stderr.String(), "0 of 5 measurements were made") {
		t.Errorf("stderr: %s", stderr)
	}
}
