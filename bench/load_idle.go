//go:build linux

package main

import "time"

// runIdle measures what connections cost that do nothing: each exchanges one message, so that the server has what it
// needs for it, and then all are silent for as long as the window is. Memory is the server's resident memory; what the
// kernel keeps for a socket is not in it.
func runIdle(config loadConfig) (sample, error) {
	before, err := residentBytes(config.PID)
	if err != nil {
		return sample{}, err
	}
	g, err := newGenerator(config)
	if err != nil {
		return sample{}, err
	}
	defer g.close()
	if err := g.exchangeOnce(); err != nil {
		return sample{}, err
	}
	m, err := g.mark()
	if err != nil {
		return sample{}, err
	}
	time.Sleep(config.Window)
	s, err := g.since(m)
	if err != nil {
		return sample{}, err
	}
	s.PerConn = float64(max(0, s.Resident-before)) / float64(config.Conns)
	return s, nil
}

// exchangeOnce sends one batch on every connection and waits for all answers.
func (g *generator) exchangeOnce() error {
	if err := g.traffic.drain(); err != nil {
		return err
	}
	if err := g.traffic.begin(g.now()); err != nil {
		return err
	}
	return g.loop(-1)
}
