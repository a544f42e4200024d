package report

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
)

func TestEveryPictureIsAFileOfItsOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "pictures")
	paths, err := WriteCharts(dir, benchtest.ExampleResults(t))
	require.NoError(t, err)
	assert.Len(t, paths, 27)
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(paths))), 27, "different names")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		benchtest.WellFormed(t, string(text))
		for _, want := range []string{
			`xmlns="http://www.w3.org/2000/svg"`, "prefers-color-scheme:dark", "<desc>", "Example CPU", "2026-03-04", "took 20 min",
		} {
			assert.Contains(t, string(text), want, path)
		}
	}
}
