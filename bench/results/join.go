package results

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-io/tandem/bench/format"
)

// ReadTogether reads several runs as one, such as one for each part of a matrix. They have to be of the same machine
// and program, and must not have measured the same thing twice.
func ReadTogether(paths []string) (*Results, error) { return readAll(paths, (*Results).Join) }

// ReadRounds reads several runs of the same workloads as one: the rounds of each follow those of the one before. They have to
// be of the same machine and program.
func ReadRounds(paths []string) (*Results, error) { return readAll(paths, (*Results).joinRounds) }

// readAll reads runs, and adds each one to the first.
func readAll(paths []string, add func(all, r *Results) error) (*Results, error) {
	var all *Results
	for _, path := range paths {
		r, err := Read(path)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = r
			continue
		}
		if err := add(all, r); err != nil {
			return nil, fmt.Errorf("%s does not belong to %s: %w", path, paths[0], err)
		}
	}
	return all, nil
}

// joinRounds adds the samples of o as rounds behind those of r.
func (r *Results) joinRounds(o *Results) error {
	for i := range o.Samples {
		o.Samples[i].Round += r.Setting.Rounds
	}
	r.Setting.Rounds += o.Setting.Rounds
	o.Setting.Rounds = r.Setting.Rounds
	return r.Join(o)
}

// Join adds the samples of o.
func (r *Results) Join(o *Results) error {
	for _, same := range []struct{ what, a, b string }{
		{"CPU", r.Machine.CPU, o.Machine.CPU},
		{"kernel", r.Machine.Kernel, o.Machine.Kernel},
		{"program", r.Program, o.Program},
		{"network", r.Setting.Network, o.Setting.Network},
		{"GOMAXPROCS of the servers", fmt.Sprint(r.Setting.Procs), fmt.Sprint(o.Setting.Procs)},
	} {
		if same.a != same.b {
			return fmt.Errorf("the %s is %q there and %q here", same.what, same.b, same.a)
		}
	}
	if o.Label != "" && !strings.Contains(r.Label, o.Label) {
		r.Label = strings.TrimPrefix(r.Label+", "+o.Label, ", ")
	}
	if r.Setting.Window != o.Setting.Window || r.Setting.Rounds != o.Setting.Rounds {
		r.Notes = append(r.Notes, fmt.Sprintf("joined with a run of %d rounds, each %v", o.Setting.Rounds,
			format.Duration(o.Setting.Window)))
	}
	r.Took += o.Took
	for _, s := range o.Servers {
		if !slices.ContainsFunc(r.Servers, func(known Server) bool { return known.Impl == s.Impl }) {
			r.Servers = append(r.Servers, s)
		}
	}
	r.Samples = append(r.Samples, o.Samples...)
	r.Failures = append(r.Failures, o.Failures...)
	for _, n := range o.Notes {
		if !slices.Contains(r.Notes, n) {
			r.Notes = append(r.Notes, n)
		}
	}
	return r.check()
}
