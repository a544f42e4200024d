//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/benchtest"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// resultFile writes a small run to a file.
func resultFile(t *testing.T, r *results.Results) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "results.json")
	require.NoError(t, results.Write(path, r))
	return path
}

func TestReportMakesEverything(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	status, stdout, stderr := runProgram(t, "report", "--html", at("r.html"), "--text", at("r.txt"), "--markdown", at("r.md"),
		"--svg", at("pictures"), resultFile(t, benchtest.CalmRun(1, nil)))
	require.Zero(t, status, stderr)
	assert.Empty(t, stderr)
	for name, want := range map[string]string{
		"r.html": "</html>", "r.txt": "BenchmarkEcho/impl=net/conns=64/size=64/depth=1\t",
		"r.md": "| net |", "pictures/cpu-echo-64x64.svg": "</svg>\n",
	} {
		text, err := os.ReadFile(at(name))
		require.NoError(t, err)
		assert.Contains(t, string(text), want, name)
	}
	assert.Contains(t, stdout, at("pictures/cpu-echo-64x64.svg")+"\n")
}

func TestReportPrintsTheTable(t *testing.T) {
	status, stdout, stderr := runProgram(t, "report", resultFile(t, benchtest.CalmRun(1, nil)))
	assert.Zero(t, status, stderr)
	assert.Contains(t, stdout, "echo, 64 connections × 16 KiB\n")
}

func TestReportRefuses(t *testing.T) {
	good := resultFile(t, benchtest.CalmRun(1, nil))
	bad := filepath.Join(t.TempDir(), "bad.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"format": 1, "samples": [`), 0o600))
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"nothing":                      {nil, exitUsage, "name the file of results"},
		"an unknown flag":              {[]string{"--pdf", "x", good}, exitUsage, "--pdf"},
		"a profile and no page":        {[]string{"--profile", "x"}, exitUsage, "--html"},
		"pictures of a profile":        {[]string{"--profile", "x", "--html", "-", "--svg", "y"}, exitUsage, "file of results"},
		"a file that is not there":     {[]string{"nowhere.json"}, exitFailed, "nowhere.json"},
		"a file that is cut short":     {[]string{bad}, exitFailed, "cut short"},
		"the same twice":               {[]string{good, good}, exitFailed, "twice"},
		"a profile that is not there":  {[]string{"--profile", "nowhere.pprof", "--html", "-"}, exitFailed, "nowhere.pprof"},
		"a profile that is not one":    {[]string{"--profile", good, "--html", "-"}, exitFailed, "not a CPU profile"},
		"where nothing can be written": {[]string{"--html", "/proc/no/r.html", good}, exitFailed, "/proc/no"},
	} {
		t.Run(name, func(t *testing.T) {
			status, _, stderr := runProgram(t, append([]string{"report"}, c.args...)...)
			assert.Equal(t, c.status, status)
			assert.Contains(t, stderr, c.want)
		})
	}
}

func TestCompareTellsByItsStatus(t *testing.T) {
	before, after := resultFile(t, benchtest.CalmRun(1, nil)), resultFile(t, benchtest.CalmRun(2, benchtest.Microsecond))
	for name, c := range map[string]struct {
		args   []string
		status int
		want   string
	}{
		"equal":                    {[]string{before, before}, 0, "verdict: no difference"},
		"slower":                   {[]string{before, after}, exitFailed, "verdict: slower"},
		"faster":                   {[]string{after, before}, 0, "verdict: faster"},
		"only what is not slower":  {[]string{"--impl", "net", before, after}, 0, "verdict: no difference in 3"},
		"slower than half as much": {[]string{"--least", "0.5", before, after}, 0, "verdict: no difference"},
		"one file":                 {[]string{before}, exitUsage, "want two files"},
		"an unknown server":        {[]string{"--impl", "nonsense", before, after}, exitUsage, `no samples of "nonsense"`},
		"a bad share":              {[]string{"--least", "-1", before, after}, exitUsage, "--least"},
		"no file":                  {[]string{before, "nowhere.json"}, exitUsage, "nowhere.json"},
	} {
		t.Run(name, func(t *testing.T) {
			status, stdout, stderr := runProgram(t, append([]string{"compare"}, c.args...)...)
			assert.Equal(t, c.status, status)
			assert.Contains(t, stdout+stderr, c.want)
		})
	}
}

// TestAServersProfileBecomesAFlameGraph is all of the way: a server that is loaded, its profile, the page.
func TestAServersProfileBecomesAFlameGraph(t *testing.T) {
	dir := t.TempDir()
	profile, page := filepath.Join(dir, "cpu.pprof"), filepath.Join(dir, "p.html")
	status, _, stderr := runProgram(t, "serve", "--impl", "net", "--cpuprofile", filepath.Join(dir, "no", "x"))
	assert.Equal(t, exitFailed, status)
	assert.Contains(t, stderr, "--cpuprofile")
	s := start(t, "net", workload.ModeEcho, "--cpuprofile", profile)
	status, _, stderr = runProgram(t, "load", "--addr", s.Addr, "--conns", "8", "--depth", "16", "--window", "1s",
		"--stall", "1m")
	require.Zero(t, status, "load: %s", stderr)
	require.NoError(t, s.Stop())
	status, _, stderr = runProgram(t, "report", "--profile", profile, "--html", page)
	require.Zero(t, status, "report: %s", stderr)
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, strings.Count(string(text), `class="box `), 5, "boxes of a flame graph")
}
