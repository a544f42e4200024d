//go:build linux

package campaign

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		t.Run(name, func(t *testing.T) {
			got := loadNotes(Plan{Procs: 1}, c.samples)
			require.Len(t, got, len(c.want))
			for i, want := range c.want {
				assert.Contains(t, got[i], want)
				assert.Equal(t, 1, strings.Count(got[i], "a ("), "how often the server is named in %q", got[i])
			}
		})
	}
}
