//go:build linux

package main

import (
	"os"
	"testing"
)

// asProgram makes the test binary behave as the program itself, so that a test can start servers and the program under
// test can start itself again.
const asProgram = "BENCH_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	// For children only: this process has looked already.
	children := map[string]string{
		asProgram: "1",
		"GORACE":  "atexit_sleep_ms=10 " + os.Getenv("GORACE"), // else each takes a second to end
	}
	for name, value := range children {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
