//go:build linux

package load

import (
	"fmt"
	"os"
	"time"

	"github.com/tandem-io/tandem/bench/control"
	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/results"
)

// mark is the beginning of the measured window.
type mark struct {
	began  time.Duration
	server process.Account
	told   control.Counts
	client process.CPUTime
	calls  *process.SyscallCounter // nil: not counted
}

// measure loads the server for the length of the window. A window without any answer is extended, because it has no
// percentiles; stalled detects a server that never answers.
func (g *generator) measure() (results.Sample, error) {
	m, err := g.mark()
	if err != nil {
		return results.Sample{}, err
	}
	err = g.loop(m.began + g.Window)
	for err == nil && g.messages == 0 {
		err = g.loop(g.now() + g.Window)
	}
	if err != nil {
		return results.Sample{}, err
	}
	return g.since(m)
}

// mark discards the counts of the warm-up, and notes the state of all clocks.
func (g *generator) mark() (mark, error) {
	m := mark{}
	var err error
	if g.Control != "" {
		if m.told, err = control.Ask(g.Control); err != nil {
			return mark{}, err
		}
	}
	if g.PID != 0 && g.Syscalls {
		if m.calls, err = process.CountSyscalls(g.PID); err != nil {
			return mark{}, err
		}
	}
	if m.server, m.client, err = g.accounts(); err != nil {
		return mark{}, err
	}
	g.messages, g.behind = 0, 0
	g.latencies.reset()
	m.began = g.now()
	return m, nil
}

// since computes the sample of the time since m.
func (g *generator) since(m mark) (results.Sample, error) {
	now := g.now()
	messages := g.messages
	server, client, err := g.accounts()
	if err != nil {
		return results.Sample{}, err
	}
	if t, ok := g.traffic.(*openTraffic); ok {
		t.unanswered(now)
	}
	s := results.Sample{
		Workload: g.Workload,
		Messages: messages, Bytes: messages * int64(g.Size), Window: now - m.began,
		Late: g.late, Behind: g.behind,
	}
	if s.Latency, err = g.latencies.encode(); err != nil {
		return results.Sample{}, err
	}
	server.Minus(m.server).Fill(&s)
	s.ClientCPU, s.ClientWait = client.Minus(m.client).Ran, client.Minus(m.client).Waited
	return s, g.askEnd(m, &s)
}

// askEnd adds the counts of the server and of the kernel.
func (g *generator) askEnd(m mark, s *results.Sample) (err error) {
	if m.calls != nil {
		if s.Syscalls, err = m.calls.Stop(); err != nil {
			return err
		}
	}
	if g.Control != "" {
		told, err := control.Ask(g.Control)
		if err != nil {
			return err
		}
		told.Minus(m.told).Fill(s)
	}
	if g.PID != 0 {
		if s.Resident, err = process.Resident(g.PID); err != nil {
			return err
		}
	}
	return nil
}

// accounts reads what the kernel counted for the server, if its process is known, and for this process.
func (g *generator) accounts() (server process.Account, client process.CPUTime, err error) {
	if g.PID != 0 {
		if server, err = process.Read(g.PID); err != nil {
			return process.Account{}, process.CPUTime{}, fmt.Errorf("server: %w", err)
		}
	}
	client, err = process.CPU(os.Getpid())
	return server, client, err
}
