package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// find is what a simulation has found of a bug.
type find struct {
	verdict
	after    time.Duration // from the beginning of the tests to the first that failed
	seed     string
	programs string // how many ran, with the one that failed
}

// simulation returns the package and the tests that run code of a file on a simulated or an emulated kernel.
func simulation(file string) (pkg, run string, ok bool) {
	switch {
	case strings.HasPrefix(file, "backend_uring/"):
		return "./backend_uring", "^TestWorkload$", true
	case strings.HasPrefix(file, "backend_epoll/"), strings.HasPrefix(file, "session/") && strings.Count(file, "/") > 1:
		return "", "", false
	}
	return "./backend/simulated/modeltest", "^(TestRandomPrograms|TestRandomFrames)$", true
}

// simulate puts a mutant in, and runs a simulation for so long, or until it has found something.
func (c *scratch) simulate(m mutant, most time.Duration) (f find) {
	pkg, run, ok := simulation(m.File)
	if !ok {
		return find{verdict: verdict{outcome: notMeasured, said: "no simulation runs this code"}}
	}
	f.verdict = c.with(m, func() verdict {
		args := []string{"-v", "-run=" + run, "-timeout=" + (most + 30*time.Second).String(), pkg}
		if pkg != "./backend_uring" {
			args = append(args, "-rapid.nofailfile", "-rapid.shrinktime=1ms")
		}
		out, err := c.goTest([]string{"TANDEM_SIMULATE=" + most.String(), "TANDEM_FOR=" + most.String()}, args...)
		f.after, f.seed, f.programs = figures(bytes.NewReader(out))
		return judge(bytes.NewReader(out), err != nil, 0)
	})
	return f
}

var (
	seedOf     = regexp.MustCompile(`(?:rapid\.seed|TANDEM_SEED)[= ](\d+)`)
	programsOf = regexp.MustCompile(`(?:the (\d+)\. seed|(\d+) programs)`)
)

// figures reads when the first test failed, with which seed, and after how many programs.
func figures(r io.Reader) (after time.Duration, seed, programs string) {
	var began, ended time.Time
	for lines := bufio.NewScanner(r); lines.Scan(); {
		var e struct {
			event
			Time time.Time
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		if e.Action == "run" && began.IsZero() {
			began = e.Time
		}
		if !began.IsZero() && e.Test != "" && ended.IsZero() || e.Action == "fail" && ended.IsZero() && !began.IsZero() {
			after = e.Time.Sub(began)
		}
		if e.Action == "fail" {
			ended = e.Time
		}
		if found := seedOf.FindStringSubmatch(e.Output); found != nil && seed == "" {
			seed = found[1]
		}
		if found := programsOf.FindStringSubmatch(e.Output); found != nil {
			programs = found[1] + found[2]
		}
	}
	return max(after, 0), seed, programs
}

// simulateAll says of each mutant whether a simulation finds it.
func simulateAll(c *scratch, all []mutant, most time.Duration, out io.Writer) (status int) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, m := range all {
		f := c.simulate(m, most)
		word := "found"
		switch f.outcome {
		case caught, crashed, hung:
		case survived:
			word, status = "NOT FOUND", 1
		default:
			word, status = string(f.outcome), 1
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%.1f s\tseed %s\t%s programs\t%s\n", m.Name, word, f.after.Seconds(), or(f.seed), or(f.programs), f.short(m))
		_ = w.Flush()
	}
	return status
}

// or is s, or a sign that there is none.
func or(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
