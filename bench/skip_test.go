//go:build linux

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// unsupported skips what this machine cannot run, loudly. With TANDEM_REQUIRE_URING=1, as CI sets it, it is a failure.
func unsupported(t *testing.T, why any) {
	t.Helper()
	require.NotEqual(t, "1", os.Getenv("TANDEM_REQUIRE_URING"), why)
	t.Skip("NOT TESTED: ", why)
}
