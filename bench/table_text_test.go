package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test -update writes it anew. Got:\n%s", path, got)
	}
}

func TestPrintTable(t *testing.T) {
	var b strings.Builder
	printTable(&b, exampleResults(t))
	golden(t, "table.txt", b.String())
}

func TestPrintTableOfNothing(t *testing.T) {
	var b strings.Builder
	printTable(&b, &results{Failures: []string{"net: did not start"}})
	for _, want := range []string{"FAILED: net: did not start\n", "note: nothing was measured\n", "unknown machine\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
