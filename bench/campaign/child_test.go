//go:build linux

package campaign

import (
	"bytes"
	"testing"
)

func TestLastWords(t *testing.T) {
	for said, want := range map[string]string{
		"":                              "",
		"one\ntwo\n\n":                  ": two",
		"note\npanic: why\n\ngoroutine": ": panic: why",
		"SIGSEGV: segmentation violation\nPC=1\ngs 0x0\n": ": SIGSEGV: segmentation violation",
	} {
		if got := lastWords(bytes.NewBufferString(said)); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}
