package modeltest

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/tandem-io/tandem/backend/simulated"
)

// TestRandomPrograms runs random programs, for as long as TANDEM_SIMULATE says, such as 10m, by default some hundred.
func TestRandomPrograms(t *testing.T) {
	n, failed := 0, false
	defer func() { t.Logf("%d programs", n) }()
	again(t, 1, func(rt *rapid.T) {
		p := programs().Draw(rt, "program")
		if !failed { // else it is made smaller
			n++
		}
		if err := run(t, p); err != nil {
			failed = true
			rt.Fatalf("%v\n%v", err, p)
		}
	})
}

// again checks again and again, for a part of the time that TANDEM_SIMULATE says.
func again(t *testing.T, part int, check func(*rapid.T)) {
	until := time.Now()
	if s := os.Getenv("TANDEM_SIMULATE"); s != "" {
		d, err := time.ParseDuration(s)
		require.NoError(t, err)
		until = until.Add(d / time.Duration(part))
		require.NoError(t, flag.Set("rapid.checks", "200"))
	}
	for again := true; again && !t.Failed(); again = time.Now().Before(until) {
		rapid.Check(t, check)
	}
}

// TestMain has package net look a name up once outside of all bubbles, because it keeps a channel for good.
func TestMain(m *testing.M) {
	_, _ = simulated.New(simulated.Config{}).Resolver().LookupHost(context.Background(), "nobody.test.")
	m.Run()
}

// noteOp is called for each operation that is performed.
var noteOp = func(*world, Op) {}
