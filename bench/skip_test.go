//go:build linux

package main

import (
	"os"
	"testing"
)

// unsupported skips what this machine cannot run, loudly. With TANDEM_REQUIRE_URING=1, as CI sets it, it is a failure.
func unsupported(t *testing.T, why any) {
	t.Helper()
	if os.Getenv("TANDEM_REQUIRE_URING") == "1" {
		t.Fatal("TANDEM_REQUIRE_URING is set: ", why)
	}
	t.Skip("NOT TESTED: ", why)
}
