//go:build linux

package main

import (
	"fmt"
	"os"
	"time"
)

// mark is the beginning of the measured window.
type mark struct {
	began  time.Duration
	server account
	told   serverCounts
	client cpuTime
	calls  *syscallCounter // nil: not counted
}

// measure loads the server for as long as the window is. A window in which nothing came back is made longer, because a
// percentile of nothing says nothing; a server that never answers is found by stalled.
func (g *generator) measure() (sample, error) {
	m, err := g.mark()
	if err != nil {
		return sample{}, err
	}
	err = g.loop(m.began + g.Window)
	for err == nil && g.messages == 0 {
		err = g.loop(g.now() + g.Window)
	}
	if err != nil {
		return sample{}, err
	}
	return g.since(m)
}

// mark forgets what the warm-up counted, and notes where the clocks stand.
func (g *generator) mark() (mark, error) {
	m := mark{}
	var err error
	if g.Control != "" {
		if m.told, err = askServer(g.Control); err != nil {
			return mark{}, err
		}
	}
	if g.PID != 0 && g.Syscalls {
		if m.calls, err = countSyscalls(g.PID); err != nil {
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

// since works out what happened since m.
func (g *generator) since(m mark) (sample, error) {
	now := g.now()
	messages := g.messages
	server, client, err := g.accounts()
	if err != nil {
		return sample{}, err
	}
	if t, ok := g.traffic.(*openTraffic); ok {
		t.unanswered(now)
	}
	s := sample{
		Workload: g.workload,
		Messages: messages, Bytes: messages * int64(g.Size), Window: now - m.began,
		Late: g.late, Behind: g.behind,
	}
	if s.Latency, err = g.latencies.encode(); err != nil {
		return sample{}, err
	}
	server.minus(m.server).fill(&s)
	s.ClientCPU, s.ClientWait = client.minus(m.client).Ran, client.minus(m.client).Waited
	return s, g.askEnd(m, &s)
}

// askEnd fills in what the server tells of itself, and what was counted in the kernel.
func (g *generator) askEnd(m mark, s *sample) (err error) {
	if m.calls != nil {
		if s.Syscalls, err = m.calls.stop(); err != nil {
			return err
		}
	}
	if g.Control != "" {
		told, err := askServer(g.Control)
		if err != nil {
			return err
		}
		told.minus(m.told).fill(s)
	}
	if g.PID != 0 {
		if s.Resident, err = residentBytes(g.PID); err != nil {
			return err
		}
	}
	return nil
}

// accounts reads what the kernel counted for the server, if it is known, and for this process.
func (g *generator) accounts() (server account, client cpuTime, err error) {
	if g.PID != 0 {
		if server, err = processAccount(g.PID); err != nil {
			return account{}, cpuTime{}, fmt.Errorf("server: %w", err)
		}
	}
	client, err = processCPU(os.Getpid())
	return server, client, err
}
