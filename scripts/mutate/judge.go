package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// outcome is what became of a mutant.
type outcome string

const (
	caught      outcome = "caught"
	crashed     outcome = "crashed" // the test program, with a panic outside any test: noticed, but not by name
	hung        outcome = "HUNG"
	survived    outcome = "SURVIVED"
	uncompiled  outcome = "DOES NOT COMPILE"
	gone        outcome = "TEXT IS GONE"
	notMeasured outcome = "NOT RUN"
)

// verdict is an outcome, and how it came about.
type verdict struct {
	outcome outcome
	by      string // the first test that failed, or that was running
	said    string // its first words
}

func (v verdict) String() string { return fmt.Sprintf("%s: %s: %s", v.outcome, v.by, v.said) }

// word is the outcome, and whether it is a bad one.
func (v verdict) word(m mutant) (word string, bad bool) {
	switch v.outcome {
	case caught, crashed:
		return string(v.outcome), false
	case survived, hung:
		if m.Equivalent != "" {
			return "equivalent", false
		}
	}
	return string(v.outcome), true
}

// short is what the table says of the mutant.
func (v verdict) short(m mutant) string {
	if word, _ := v.word(m); word == "equivalent" {
		return m.Equivalent
	}
	s := v.by
	if v.said != "" {
		s += ": " + v.said
	}
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "..."
	}
	return s
}

// event is one of those that go test -json prints.
type event struct {
	Action string
	Test   string
	Output string
}

// judge reads what go test -json printed about one run, and decides. The tests that were asked for have depth slashes in
// their names.
func judge(r io.Reader, failed bool, depth int) verdict {
	ran := false
	var running []string // begun and not ended
	said := map[string]string{}
	var panicked, timedOut, build string
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil {
			switch e.Action {
			case "run":
				running = append(running, e.Test)
				ran = ran || strings.Count(e.Test, "/") >= depth
			case "pass", "skip":
				running = without(running, e.Test)
			case "fail":
				if e.Test != "" && panicked == "" {
					return verdict{caught, e.Test, said[e.Test]}
				}
			case "build-fail":
				build = "x"
			case "output":
				if text := strings.TrimSpace(e.Output); said[e.Test] == "" && talks(text) {
					said[e.Test] = text
				}
				panicked, timedOut = panics(e.Output, panicked, timedOut)
			}
		}
		if err != nil {
			break
		}
	}
	if !failed && !ran {
		return verdict{outcome: notMeasured, said: "there are no such tests"}
	}
	return ended(failed, build != "", running, panicked, timedOut)
}

// ended decides about a run in which no test has failed by name.
func ended(failed, build bool, running []string, panicked, timedOut string) verdict {
	last := ""
	if len(running) > 0 {
		last = running[len(running)-1]
	}
	switch {
	case !failed:
		return verdict{outcome: survived}
	case build:
		return verdict{outcome: uncompiled}
	case timedOut != "":
		return verdict{hung, last, timedOut}
	case panicked != "":
		return verdict{crashed, last, panicked}
	}
	return verdict{outcome: notMeasured, by: last, said: "go test failed, and said nothing of it"}
}

// panics keeps the first words of a panic, or of the end of a test program's time.
func panics(output, panicked, timedOut string) (string, string) {
	text := strings.TrimSpace(output)
	switch {
	case strings.HasPrefix(text, "panic: test timed out"), strings.HasPrefix(text, "*** Test killed"):
		timedOut = text
	case strings.HasPrefix(text, "panic: "), strings.HasPrefix(text, "fatal error: "), strings.HasPrefix(text, "SIG"):
		if panicked == "" && timedOut == "" {
			panicked = text
		}
	}
	return panicked, timedOut
}

// talks reports whether a line of output is a test's own about a failure, and not go test's or rapid's about the run.
func talks(text string) bool {
	return text != "" && !strings.Contains(text, "[rapid] OK") && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ")
}

func without(all []string, one string) []string {
	for i, s := range all {
		if s == one {
			return append(all[:i:i], all[i+1:]...)
		}
	}
	return all
}
