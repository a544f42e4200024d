//go:build linux

package campaign

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

func TestParseListening(t *testing.T) {
	for _, c := range []struct{ line, addr, details string }{
		{"listening on 127.0.0.1:9 impl net mode echo", "127.0.0.1:9", ""},
		{"listening on [::1]:9 impl x mode echo two words", "[::1]:9", "two words"},
	} {
		addr, details, err := parseListening(c.line)
		require.NoError(t, err, c.line)
		assert.Equal(t, c.addr, addr, c.line)
		assert.Equal(t, c.details, details, c.line)
	}
	_, _, err := parseListening("panic: something")
	assert.Error(t, err, "a line that is something else")
}

// Only servers that are compared burn CPU, and only under loads that have messages.
func TestWhoBurns(t *testing.T) {
	p := Plan{Procs: 1, Work: time.Microsecond}
	for _, k := range []struct {
		impl, kind string
		want       bool
	}{
		{"tandem-epoll", workload.KindEcho, true}, {"gnet", workload.KindFrameEcho, true}, {"net", workload.KindChurn, true},
		{"tandem-uring", workload.KindStream, false}, {"bare-epoll", workload.KindEcho, false}, {"bare-uring", workload.KindEcho, false},
	} {
		args, err := p.serveArguments(Cell{Impl: k.impl, Workload: workload.Workload{Kind: k.kind}}, "")
		require.NoError(t, err)
		i := slices.Index(args, "--work")
		require.Equal(t, k.want, i >= 0, "%s under %s: %q", k.impl, k.kind, args)
		if k.want {
			assert.Equal(t, "1µs", args[i+1], "%s under %s", k.impl, k.kind)
		}
	}
}
