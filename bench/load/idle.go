//go:build linux

package load

import (
	"time"

	"github.com/tandem-io/tandem/bench/control"
	"github.com/tandem-io/tandem/bench/process"
	"github.com/tandem-io/tandem/bench/results"
)

// runIdle measures the cost of idle connections: each exchanges one message, so that the server has allocated what it
// needs, and then all are silent for the length of the window. The memory is the resident memory of the server, without
// what the kernel keeps for a socket, and without garbage if the server can be asked to collect it.
func runIdle(config Config) (results.Sample, error) {
	before, err := residentNow(config)
	if err != nil {
		return results.Sample{}, err
	}
	g, err := newGenerator(config)
	if err != nil {
		return results.Sample{}, err
	}
	defer g.close()
	if err := g.exchangeOnce(); err != nil {
		return results.Sample{}, err
	}
	m, err := g.mark()
	if err != nil {
		return results.Sample{}, err
	}
	time.Sleep(config.Window)
	if _, err := residentNow(config); err != nil { // it collects
		return results.Sample{}, err
	}
	s, err := g.since(m)
	if err != nil {
		return results.Sample{}, err
	}
	s.PerConn = float64(max(0, s.Resident-before)) / float64(config.Conns)
	return s, nil
}

// residentNow is the resident memory of the server, after it has collected its garbage if it can be asked to.
func residentNow(config Config) (int64, error) {
	if config.Control != "" {
		if _, err := control.Collect(config.Control); err != nil {
			return 0, err
		}
	}
	return process.Resident(config.PID)
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
