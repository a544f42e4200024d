//go:build linux

package main

import (
	"os"
	"time"
)

// mark is the beginning of the measured window.
type mark struct {
	began     time.Duration
	serverCPU cpuTime
	clientCPU cpuTime
}

// measure loads the server for as long as the window is. A window in which nothing came back is made longer, because a
// percentile of nothing says nothing; a server that never answers is found by checkStalled.
func (g *generator) measure() (loadResult, error) {
	m, err := g.begin()
	if err != nil {
		return loadResult{}, err
	}
	err = g.loop(m.began + g.Window)
	for err == nil && g.messages == 0 {
		err = g.loop(g.now() + g.Window)
	}
	if err != nil {
		return loadResult{}, err
	}
	return g.end(m)
}

// begin forgets what the warm-up counted, and notes where the clocks stand.
func (g *generator) begin() (mark, error) {
	server, client, err := g.clocks()
	if err != nil {
		return mark{}, err
	}
	g.messages = 0
	g.latencies.reset()
	return mark{began: g.now(), serverCPU: server, clientCPU: client}, nil
}

// end works out what happened since m.
func (g *generator) end(m mark) (loadResult, error) {
	window := g.now() - m.began
	server, client, err := g.clocks()
	if err != nil {
		return loadResult{}, err
	}
	server, client = server.minus(m.serverCPU), client.minus(m.clientCPU)
	return loadResult{
		Messages:   g.messages,
		Window:     window,
		P50:        g.latencies.percentile(50),
		P99:        g.latencies.percentile(99),
		P999:       g.latencies.percentile(99.9),
		ServerCPU:  server.Ran,
		ServerWait: server.Waited,
		ClientCPU:  client.Ran,
		ClientWait: client.Waited,
	}, nil
}

// clocks reads the CPU time of the server, if it is known, and of this process.
func (g *generator) clocks() (server, client cpuTime, err error) {
	if g.PID != 0 {
		if server, err = processCPU(g.PID); err != nil {
			return cpuTime{}, cpuTime{}, err
		}
	}
	client, err = processCPU(os.Getpid())
	return server, client, err
}
