package report

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/bench/benchtest"
)

func TestEveryPictureIsAFileOfItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	paths, err := WriteCharts(dir, benchtest.ExampleResults(t))
	if err != nil {
		t.Fatal(err)
	}
	if names := len(slices.Compact(slices.Sorted(slices.Values(paths)))); names != len(paths) || names != 27 {
		t.Errorf("%d files of %d names, want 27", len(paths), names)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		benchtest.WellFormed(t, string(text))
		for _, want := range []string{`xmlns="http://www.w3.org/2000/svg"`, "prefers-color-scheme:dark", "<desc>"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s has no %s", path, want)
			}
		}
	}
}
