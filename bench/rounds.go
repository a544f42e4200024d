//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// stallLimit is how long an answer may take.
const stallLimit = 5 * time.Second

// measureAll makes all measurements of the plan, in rounds. It ends early when ctx does.
func measureAll(ctx context.Context, p plan, pr *progress) *report {
	r := newReport(p)
	defer pr.end()
	for round := range p.Rounds {
		for _, impl := range p.Impls {
			if ctx.Err() != nil {
				return r
			}
			if slices.ContainsFunc(r.failures, func(f failure) bool { return f.Impl == impl }) || r.absent[impl] {
				pr.done += len(p.Shapes) // it would only fail again
				continue
			}
			r.measureServer(ctx, impl, round, pr)
		}
	}
	return r
}

// measureServer starts one server, loads it with every shape, and ends it.
func (r *report) measureServer(ctx context.Context, impl string, round int, pr *progress) {
	pr.show(cell{impl, r.Shapes[0], round}, r.Rounds)
	s, err := startServer(ctx, r.plan, impl)
	if err != nil {
		pr.done += len(r.Shapes)
		r.startFailed(ctx, impl, round, err)
		return
	}
	r.details[impl] = s.details
	for _, sh := range r.Shapes {
		c := cell{impl, sh, round}
		pr.show(c, r.Rounds)
		r.load(ctx, s, c)
		pr.done++
		if ctx.Err() != nil || s.exited() {
			break
		}
	}
	if err := s.stop(); err != nil {
		r.failures = append(r.failures, failure{impl, nil, round, err})
	}
}

// load makes one measurement.
func (r *report) load(ctx context.Context, s *serverChild, c cell) {
	result, err := loadServer(ctx, r.plan, s, c.Shape)
	switch {
	case err == nil:
		r.results[c] = result
	case ctx.Err() == nil: // else the load generator was ended, which is no failure
		r.failures = append(r.failures, failure{c.Impl, &c.Shape, c.Round, err})
	}
}

// startFailed tells what this machine cannot do, which is only worth a note unless it was asked for, from a failure.
func (r *report) startFailed(ctx context.Context, impl string, round int, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, errors.ErrUnsupported) && !r.Named:
		r.absent[impl] = true
		r.notes = append(r.notes, fmt.Sprintf("%s: %v", impl, err))
	default:
		r.failures = append(r.failures, failure{impl, nil, round, err})
	}
}
