//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stallLimit is how long an answer may take.
const stallLimit = 5 * time.Second

// campaign carries out a plan.
type campaign struct {
	plan
	results
	progress *progress
	details  map[string]string // what the servers said of themselves
	broken   map[string]bool   // implementations that do not start here
	failed   map[cell]bool     // round 0 of what failed in any round: it would only fail again
	controls controlSockets
}

// measureAll makes all measurements of the plan. It ends early when ctx does, with what was measured until then.
func measureAll(ctx context.Context, p plan, pr *progress) *results {
	c := &campaign{
		plan: p, progress: pr,
		results: results{
			Format: resultsFormat, Program: programVersion(), Label: p.Label, Began: time.Now(),
			Machine: machine(), Setting: p.setting(), Notes: p.lacking(),
		},
		details: make(map[string]string), broken: make(map[string]bool), failed: make(map[cell]bool),
	}
	defer pr.end()
	if err := c.controls.open(); err != nil {
		c.note("allocations and pauses are not measured: %v", err)
	}
	defer c.controls.close()
	for _, next := range p.cells() {
		if ctx.Err() != nil {
			break
		}
		if first := (cell{next.Impl, next.Workload, 0}); !c.broken[next.Impl] && !c.failed[first] {
			pr.show(next, p.Rounds)
			c.failed[first] = !c.measure(ctx, next)
		}
		pr.done++
	}
	c.Took = time.Since(c.Began)
	c.Servers = c.serverFacts()
	c.Notes = append(c.Notes, loadNotes(c.plan, c.Samples)...)
	return &c.results
}

func (c *campaign) note(format string, args ...any) {
	c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
}

func (c *campaign) fail(at cell, err error) {
	c.Failures = append(c.Failures, fmt.Sprintf("%v: %v", at, err))
}

// measure starts a server, loads it, and ends it. It tells whether all went well.
func (c *campaign) measure(ctx context.Context, at cell) bool {
	s, err := startServer(ctx, c.plan, at, c.controls.next())
	if err != nil {
		c.startFailed(ctx, at, err)
		return false
	}
	c.details[at.Impl] = s.details
	ok := c.load(ctx, s, at)
	if err := s.stop(); err != nil {
		c.fail(at, err)
		return false
	}
	return ok
}

// load makes one measurement.
func (c *campaign) load(ctx context.Context, s *serverChild, at cell) bool {
	result, err := loadServer(ctx, c.plan, s, at.Workload)
	switch {
	case err == nil:
		result.Impl, result.Round = at.Impl, at.Round
		c.Samples = append(c.Samples, result)
	case ctx.Err() == nil: // else the load generator was ended, which is no failure
		c.fail(at, err)
	}
	return err == nil
}

// startFailed tells what this machine cannot do, which is only worth a note unless it was asked for, from a failure.
func (c *campaign) startFailed(ctx context.Context, at cell, err error) {
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
func (c *campaign) serverFacts() []serverFacts {
	var facts []serverFacts
	for _, name := range c.Impls {
		im, err := findImplementation(name)
		details, started := c.details[name]
		if err != nil || !started {
			continue
		}
		facts = append(facts, serverFacts{Impl: name, About: im.About, Version: im.version(), Details: details})
	}
	return facts
}
