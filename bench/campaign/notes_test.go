//go:build linux

package campaign

import (
	"strings"
	"testing"
	"time"

	"github.com/tandem-io/tandem/bench/results"
)

func TestNotesOnTheLoadGenerator(t *testing.T) {
	closed := results.Sample{Impl: "a", Workload: smallEcho, Messages: 1000, Window: time.Second, ServerCPU: 500 * time.Millisecond}
	idle := closed
	idle.ClientCPU = 500 * time.Millisecond
	limited := closed
	limited.ClientCPU = 990 * time.Millisecond
	both := limited
	both.ServerCPU = 990 * time.Millisecond
	paced := limited
	paced.Workload.Rate = 1000
	behind := paced
	behind.Behind = 20
	for name, c := range map[string]struct {
		samples []results.Sample
		want    []string
	}{
		"neither":   {[]results.Sample{idle}, nil},
		"client":    {[]results.Sample{limited, idle, limited}, []string{"the load generator was the limit"}},
		"both":      {[]results.Sample{both}, nil},
		"at a rate": {[]results.Sample{paced}, nil},
		"behind":    {[]results.Sample{behind}, []string{"could not keep the rate"}},
	} {
		got := loadNotes(Plan{Procs: 1}, c.samples)
		if len(got) != len(c.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) || strings.Count(got[i], "a (") != 1 {
				t.Errorf("%s: %q, want %q, and the server named once", name, got[i], want)
			}
		}
	}
}
