//go:build linux

package tandem_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/backendtest"
)

// TestContract keeps session/CONTRACT.md and the tests in step: every rule has subtests in the suite or, those of Conns and
// of WebSocket, tests of their packages; every numbered subtest has a rule; and the links of a rule are the files in which
// its tests are.
func TestContract(t *testing.T) {
	rules, holders := contractRules(t), ruleFiles(t)
	require.NotEmpty(t, rules)
	tested := map[string]bool{}
	for number, files := range holders { // those of Conns and of WebSocket are no subtests of the suite
		tested[number] = slices.ContainsFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
	}
	for _, r := range backendtest.Rules() {
		number, _, _ := strings.Cut(r.Name, "_")
		if !regexp.MustCompile(`^[STP]\d\d$`).MatchString(number) {
			continue
		}
		tested[number] = true
		assert.Contains(t, rules, number, "session/CONTRACT.md lacks the rule of subtest %s", r.Name)
	}
	for number, links := range rules {
		assert.True(t, tested[number], "rule %s of session/CONTRACT.md has no subtest", number)
		assert.Equal(t, holders[number], links, "the links of rule %s in session/CONTRACT.md, and the files that hold its tests", number)
	}
}

// contractRules are the rules of session/CONTRACT.md, each with its links, which are relative to the page.
func contractRules(t *testing.T) map[string][]string {
	t.Helper()
	rule := regexp.MustCompile(`(?m)^- \*\*([SNTWP]\d\d)\*\* .*\n(?:  .*\n?)*`)
	link := regexp.MustCompile(`\]\(([^)\s]+\.go)\)`)
	rules := map[string][]string{}
	for _, m := range rule.FindAllStringSubmatch(read(t, "session/CONTRACT.md"), -1) {
		assert.NotContains(t, rules, m[1], "the rule is there twice")
		rules[m[1]] = nil
		for _, l := range link.FindAllStringSubmatch(m[0], -1) {
			rules[m[1]] = append(rules[m[1]], filepath.Join("session", l[1]))
		}
		slices.Sort(rules[m[1]])
	}
	return rules
}

// ruleFiles are the files that have subtests of each rule, or tests of it: in the root by their names, of WebSocket by their
// comments.
func ruleFiles(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for pattern, test := range map[string]string{
		filepath.Join("backend", "backendtest", "*.go"): `(?m)^\t+\{"([STP]\d\d)_`,
		"*_test.go": `\bTest([SN]\d\d)_`,
		filepath.Join("session", "wssession", "*_test.go"): `(?m)^// Test.*\b(W\d\d)\b`,
	} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			for _, m := range regexp.MustCompile(test).FindAllStringSubmatch(read(t, file), -1) {
				if !slices.Contains(all[m[1]], file) {
					all[m[1]] = append(all[m[1]], file)
				}
			}
		}
	}
	for _, files := range all {
		slices.Sort(files)
	}
	return all
}
