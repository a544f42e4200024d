//go:build linux

package campaign

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tandem-io/tandem/bench/control"
	"github.com/tandem-io/tandem/bench/machine"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/servers"
)

// campaign carries out a plan.
type campaign struct {
	Plan
	results.Results
	progress *Progress
	details  map[string]string // how the servers described themselves
	broken   map[string]bool   // implementations that do not start here
	failed   map[Cell]bool     // round 0 of each cell that failed in some round: it would fail again
	controls control.Sockets
}

// Measure makes all measurements of the plan. When ctx ends it stops early and returns the samples taken so far.
func Measure(ctx context.Context, p Plan, pr *Progress) *results.Results {
	c := &campaign{
		Plan: p, progress: pr,
		Results: results.Results{
			Format: results.Format, Program: machine.ProgramVersion(), Label: p.Label, Began: time.Now(),
			Machine: machine.Facts(), Setting: p.setting(), Notes: p.lacking(),
		},
		details: make(map[string]string), broken: make(map[string]bool), failed: make(map[Cell]bool),
	}
	defer pr.end()
	if err := c.controls.Open(); err != nil {
		c.note("allocations and pauses are not measured: %v", err)
	}
	defer c.controls.Close()
	for _, next := range p.Cells() {
		if ctx.Err() != nil {
			break
		}
		if first := (Cell{next.Impl, next.Workload, 0}); !c.broken[next.Impl] && !c.failed[first] {
			pr.show(next, p.Rounds)
			c.failed[first] = !c.measure(ctx, next)
		}
		pr.done++
	}
	c.Took = time.Since(c.Began)
	c.Servers = c.serverFacts()
	c.Notes = append(c.Notes, loadNotes(c.Plan, c.Samples)...)
	return &c.Results
}

func (c *campaign) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

func (c *campaign) fail(at Cell, err error) {
	c.Failures = append(c.Failures, fmt.Sprintf("%v: %v", at, err))
}

// measure starts a server, loads it, and stops it. It reports whether all went well.
func (c *campaign) measure(ctx context.Context, at Cell) bool {
	s, err := StartServer(ctx, c.Plan.of(at.Workload), at, c.controls.Next())
	if err != nil {
		c.startFailed(ctx, at, err)
		return false
	}
	c.details[at.Impl] = s.details
	ok := c.load(ctx, s, at)
	if err := s.Stop(); err != nil {
		c.fail(at, err)
		return false
	}
	return ok
}

// load makes one measurement.
func (c *campaign) load(ctx context.Context, s *Server, at Cell) bool {
	result, err := loadServer(ctx, c.Plan.of(at.Workload), s, at.Workload)
	switch {
	case err == nil:
		result.Impl, result.Workload, result.Round = at.Impl, at.Workload, at.Round
		c.Samples = append(c.Samples, result)
	case ctx.Err() == nil: // otherwise the run was interrupted, which is no failure
		c.fail(at, err)
	}
	return err == nil
}

// startFailed records a server that did not start. A machine that cannot run it is only worth a note, unless the user
// named the server.
func (c *campaign) startFailed(ctx context.Context, at Cell, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, errors.ErrUnsupported) && !c.Named:
		c.note("%s: %v", at.Impl, err)
	default:
		c.fail(at, err)
	}
	c.broken[at.Impl] = true
}

// serverFacts describes the servers that were started.
func (c *campaign) serverFacts() []results.Server {
	var facts []results.Server
	for _, name := range c.Impls {
		im, err := servers.Find(name)
		details, started := c.details[name]
		if err != nil || !started {
			continue
		}
		facts = append(facts, results.Server{Impl: name, About: im.About, Version: im.Version(), Details: details})
	}
	return facts
}
