package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMutantsApply fails when the code has changed where a deliberate bug is. Write the same bug at its new place.
func TestMutantsApply(t *testing.T) {
	all, err := load("../..")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, m := range all {
		_, err := m.in("../..")
		assert.NoError(t, err, "%s: %s", m.Name, m.Breaks)
	}
}

func TestMutantIn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte("one two two"), 0o600))
	for name, c := range map[string]struct{ file, text, want, err string }{
		"once":    {"a.go", "one", "1 two two", ""},
		"twice":   {"a.go", "two", "", "2 times"},
		"never":   {"a.go", "three", "", "no longer there"},
		"no file": {"b.go", "one", "", "no longer there"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mutant{File: c.file, Text: c.text, Replacement: "1"}.in(dir)
			assert.Equal(t, c.want, got)
			if c.err == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorIs(t, err, errGone)
			assert.ErrorContains(t, err, c.err)
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	const good = `{"name":"a","breaks":"b","file":"c","text":"d","replacement":"e","tests":[{"package":".","run":"X"}]}`
	for name, text := range map[string]string{
		"no JSON":         `[`,
		"an unknown name": `[{"nome":"a"}]`,
		"no tests":        strings.Replace("["+good+"]", `{"package":".","run":"X"}`, "", 1),
		"the same twice":  "[" + good + "," + good + "]",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "scripts"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
			_, err := load(dir)
			assert.Error(t, err)
		})
	}
}

func TestChoose(t *testing.T) {
	all := []mutant{{Name: "a"}, {Name: "b"}}
	got, err := choose(all, nil)
	assert.NoError(t, err)
	assert.Equal(t, all, got)
	got, err = choose(all, []string{"b"})
	assert.NoError(t, err)
	assert.Equal(t, all[1:], got)
	_, err = choose(all, []string{"c"})
	assert.ErrorContains(t, err, `"c"`)
}

func TestJudge(t *testing.T) {
	const began = `{"Action":"run","Test":"TestA"}
{"Action":"run","Test":"TestA/b"}
{"Action":"output","Test":"TestA/b","Output":"=== RUN   TestA/b\n"}
`
	for name, c := range map[string]struct {
		said   string
		failed bool
		want   verdict
	}{
		"passed": {began + `{"Action":"pass","Test":"TestA/b"}`, false, verdict{outcome: survived}},
		"failed": {began + `{"Action":"output","Test":"TestA/b","Output":"    a.go:1: bytes differ\n"}
{"Action":"fail","Test":"TestA/b"}
{"Action":"fail","Test":"TestA"}`, true, verdict{caught, "TestA/b", "a.go:1: bytes differ"}},
		"failed, and then hung": {began + `{"Action":"fail","Test":"TestA/b"}
{"Action":"output","Output":"panic: test timed out after 1m0s\n"}`, true, verdict{caught, "TestA/b", ""}},
		"hung": {began + `{"Action":"output","Test":"TestA/b","Output":"panic: test timed out after 1m0s\n"}
{"Action":"fail"}`, true, verdict{hung, "TestA/b", "panic: test timed out after 1m0s"}},
		"crashed": {began + `{"Action":"output","Test":"TestA/b","Output":"panic: nil map\n"}
{"Action":"fail"}`, true, verdict{crashed, "TestA/b", "panic: nil map"}},
		"does not compile": {`{"Action":"build-output","Output":"x"}
{"Action":"build-fail"}`, true, verdict{outcome: uncompiled}},
		"no such test": {`{"Action":"run","Test":"TestA"}`, false, verdict{outcome: notMeasured, said: "there are no such tests"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, judge(strings.NewReader(c.said), c.failed, 1))
		})
	}
}

func TestVerdictWord(t *testing.T) {
	plain, same := mutant{}, mutant{Equivalent: "because"}
	for _, c := range []struct {
		v    verdict
		m    mutant
		word string
		bad  bool
	}{
		{verdict{outcome: caught}, plain, "caught", false},
		{verdict{outcome: survived}, plain, "SURVIVED", true},
		{verdict{outcome: survived}, same, "equivalent", false},
		{verdict{outcome: hung}, plain, "HUNG", true},
		{verdict{outcome: gone}, same, "TEXT IS GONE", true},
	} {
		word, bad := c.v.word(c.m)
		assert.Equal(t, c.word, word)
		assert.Equal(t, c.bad, bad, c.word)
	}
}
