//go:build linux

package process

import (
	"os"
	"testing"
	"time"
)

func TestProcessCPUGrowsWithWork(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Work until it shows, however fast the machine is.
	for i := 0; ; i++ {
		now, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		ran := now.Minus(before)
		if ran.Ran < 0 || ran.Waited < 0 {
			t.Fatalf("CPU time fell from %v to %v", before, now)
		}
		if ran.Ran > 10*time.Millisecond {
			return
		}
	}
}

func TestProcessCPUOfNobody(t *testing.T) {
	if d, err := CPU(1 << 30); err == nil {
		t.Fatalf("a process that does not exist has run for %v", d)
	}
}

func TestParseSchedstat(t *testing.T) {
	d, err := parseSchedstat("123456789 42 7\n")
	if err != nil || d != (CPUTime{123456789, 42}) {
		t.Errorf("got %v, %v", d, err)
	}
	for _, text := range []string{"", "1 2", "1 2 3 4", "x 2 3", "1 x 3", "99999999999999999999 0 0"} {
		if _, err := parseSchedstat(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
