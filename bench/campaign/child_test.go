//go:build linux

package campaign

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLastWords(t *testing.T) {
	for said, want := range map[string]string{
		"":                              "",
		"one\ntwo\n\n":                  ": two",
		"note\npanic: why\n\ngoroutine": ": panic: why",
		"SIGSEGV: segmentation violation\nPC=1\ngs 0x0\n": ": SIGSEGV: segmentation violation",
	} {
		assert.Equal(t, want, lastWords(bytes.NewBufferString(said)), "of %q", said)
	}
}
