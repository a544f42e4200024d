package http1

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGolden decodes files that were written by hand. The name of a file of responses has the methods of the requests.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".http")
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".http") + ".want")
			if err != nil {
				t.Fatal(err)
			}
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
			if shown != string(want) || got.Err != "" {
				t.Errorf("got\n%s%s\nwant\n%s", shown, got.Err, want)
			}
		})
	}
}
