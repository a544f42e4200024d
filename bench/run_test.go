//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/campaign"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestRunPrintsAndWritesWhatItMeasured(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results.json")
	status, stdout, stderr := runProgram(t, "run", "--impl", "bare-epoll,net,evio", "--kind", "echo,worker", "--conns", "2",
		"--seconds", "0.1", "--warmup", "10ms", "--rounds", "2", "--out", out, "--label", "a test")
	require.Zero(t, status, "%s%s", stdout, stderr)
	r, err := results.Read(out)
	require.NoError(t, err)
	echo := workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}
	worker := workload.Workload{Kind: workload.KindWorker, Conns: 2, Size: 64, Depth: 1}
	var got []campaign.Cell
	for _, s := range r.Samples {
		got = append(got, campaign.Cell{Impl: s.Impl, Workload: s.Workload, Round: s.Round})
		assert.NotZero(t, s.Messages)
		assert.NotZero(t, s.ServerCPU)
		assert.NotZero(t, s.ClientCPU)
		assert.NotZero(t, s.Resident)
		assert.NotEmpty(t, s.Latency)
		assert.NotZero(t, s.Voluntary)
	}
	want := []campaign.Cell{
		{Impl: "bare-epoll", Workload: echo, Round: 0}, {Impl: "net", Workload: echo, Round: 0}, {Impl: "evio", Workload: echo, Round: 0}, {Impl: "net", Workload: worker, Round: 0},
		{Impl: "bare-epoll", Workload: echo, Round: 1}, {Impl: "net", Workload: echo, Round: 1}, {Impl: "evio", Workload: echo, Round: 1}, {Impl: "net", Workload: worker, Round: 1},
	}
	assert.Equal(t, want, got)
	assertFacts(t, r)
	assert.Contains(t, stdout, echo.String())
	assert.Contains(t, stdout, worker.String())
	assert.Contains(t, stderr, "round 2 of 2")
	assert.Contains(t, stderr, "s left")
}

// assertFacts looks at what the results of the run above say besides the samples.
func assertFacts(t *testing.T, r *results.Results) {
	t.Helper()
	assert.Equal(t, "a test", r.Label)
	assert.Positive(t, r.Took)
	assert.Equal(t, 2, r.Setting.Rounds)
	assert.Equal(t, "loopback", r.Setting.Network)
	assert.Empty(t, r.Failures)
	assert.NotZero(t, r.Machine.CPUs)
	assert.NotZero(t, r.Machine.Memory)
	assert.NotEmpty(t, r.Machine.Kernel)
	assert.NotEmpty(t, r.Machine.Go)
	assert.Equal(t, "v1.0.8", r.Machine.Modules["github.com/tidwall/evio"])
	require.Len(t, r.Servers, 3)
	assert.Equal(t, "evio", r.Servers[2].Impl)
	assert.Equal(t, "v1.0.8", r.Servers[2].Version)
	require.NotEmpty(t, r.Notes)
	assert.Contains(t, r.Notes[0], "no mode worker: bare-epoll, evio")
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
	require.NoError(t, cmd.Start())
	<-stderr.reached
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait()
	assert.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), stderr)
	r, err := results.Read(out)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(r.Samples), 2)
	assert.Empty(t, r.Failures)
	assert.Contains(t, strings.Join(r.Notes, "\n"), "not complete: ")
	assert.Contains(t, stdout.String(), workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1}.String())
	assert.Contains(t, stderr.String(), "of 100000 measurements were made")
}

// TestInterruptedAtOnce: nothing was measured, and that is said, too.
func TestInterruptedAtOnce(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "run", "--impl", "net", "--seconds", "100")
	stderr := &lineCounter{lines: 2, reached: make(chan struct{})}
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	<-stderr.reached
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	_ = cmd.Wait()
	assert.Equal(t, exitInterrupted, cmd.ProcessState.ExitCode(), stderr)
	assert.Contains(t, stderr.String(), "0 of 5 measurements were made")
}
