//go:build linux

package campaign

import (
	"slices"
	"testing"
	"time"

	"github.com/tandem-io/tandem/bench/workload"
)

func TestParseListening(t *testing.T) {
	for _, c := range []struct{ line, addr, details string }{
		{"listening on 127.0.0.1:9 impl net mode echo", "127.0.0.1:9", ""},
		{"listening on [::1]:9 impl x mode echo two words", "[::1]:9", "two words"},
	} {
		addr, details, err := parseListening(c.line)
		if err != nil || addr != c.addr || details != c.details {
			t.Errorf("%q: %q, %q, %v", c.line, addr, details, err)
		}
	}
	if _, _, err := parseListening("panic: something"); err == nil {
		t.Error("no error for a line that is something else")
	}
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
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.Index(args, "--work"); (i >= 0) != k.want || k.want && args[i+1] != "1µs" {
			t.Errorf("%s under %s: %q", k.impl, k.kind, args)
		}
	}
}
