//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func securityPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../SECURITY.md")
	require.NoError(t, err)
	return string(text)
}

// TestSecurityNamesEveryAttack keeps SECURITY.md and the list of attacks together.
func TestSecurityNamesEveryAttack(t *testing.T) {
	_, section, found := strings.Cut(securityPage(t), "## Fourteen attacks\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []string
	for line := range strings.Lines(section) {
		if name, is := strings.CutPrefix(line, "| `"); is {
			name, _, _ = strings.Cut(name, "`")
			rows = append(rows, name)
		}
	}
	var names []string
	for _, a := range attacks {
		names = append(names, a.name)
	}
	assert.Equal(t, names, rows)
	assert.Len(t, names, 14)
}

// TestSecurityProgram compiles the limits that SECURITY.md recommends, and compares them with those of this program.
func TestSecurityProgram(t *testing.T) {
	_, rest, found := strings.Cut(securityPage(t), "```go\n")
	block, _, ended := strings.Cut(rest, "```\n")
	require.True(t, found && ended, "SECURITY.md has no block of Go")
	source := "package main\n\nimport (\n\t\"time\"\n\n\t\"github.com/tandem-io/tandem\"\n\t\"github.com/tandem-io/tandem/frame\"\n" +
		"\t\"github.com/tandem-io/tandem/session\"\n)\n\nfunc main() { _ = listen() }\n\nfunc listen() error {\n" +
		block + "\t_ = l\n\treturn err\n}\n"
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
	out, err := exec.Command("go", "vet", file).CombinedOutput()
	assert.NoError(t, err, "go vet: %s", out)

	l := recommended(time.Second)
	assert.Contains(t, block, "MemoryLimit: 64 << 20,")
	assert.Equal(t, int64(64<<20), l.MemoryLimit)
	assert.Contains(t, block, "WriteBufferLimit: 1 << 20,")
	assert.Equal(t, 1<<20, l.Stream.WriteBufferLimit)
	assert.Contains(t, block, "MaxConns: 1000}")
	assert.Equal(t, 1000, l.MaxConns)
	assert.Positive(t, l.Stream.IdleTimeout)
	assert.Positive(t, l.Stream.HalfCloseTimeout)
	assert.Positive(t, l.MessageTimeout)
}

// TestSecurityRules looks for the rules that SECURITY.md refers to.
func TestSecurityRules(t *testing.T) {
	contract, err := os.ReadFile("../../session/CONTRACT.md")
	require.NoError(t, err)
	_, section, _ := strings.Cut(securityPage(t), "## What a peer cannot do\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rules := 0
	for _, in := range strings.Split(section, "** (")[1:] {
		list, _, closed := strings.Cut(in, ")")
		require.True(t, closed)
		for _, rule := range strings.Fields(strings.ReplaceAll(list, ",", " ")) {
			assert.True(t, strings.Contains(string(contract), "- **"+rule+"** "), "there is no rule %s", rule)
			rules++
		}
	}
	assert.Greater(t, rules, 10)
}
