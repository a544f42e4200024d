package http1

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGolden decodes files that were written by hand. The name of a file of responses has the methods of the requests.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.http")
	require.NoError(t, err)
	require.NotEmpty(t, files, "no files")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			want, err := os.ReadFile(strings.TrimSuffix(file, ".http") + ".want")
			require.NoError(t, err)
			got := sameInPieces(t, string(raw), func(pieces [][]byte, patient bool) outcome {
				if methods, found := strings.CutPrefix(name, "response-to-"); found {
					d := responses(strings.ReplaceAll(methods, "-", " "))
					return drive(t, d, pieces, patient, true, showResponse)
				}
				return drive(t, requests(), pieces, patient, true, showRequest)
			})
			shown := strings.Join(got.Messages, "\n") + "\n"
			if got.Left != "" {
				shown += fmt.Sprintf("left %q\n", got.Left)
			}
			assert.Equal(t, string(want), shown)
			assert.Empty(t, got.Err)
		})
	}
}
