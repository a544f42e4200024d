package backendtest

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// longest is how long one rule may take. Nothing in a rule waits longer than patience, so one that takes longer hangs.
const longest = 60 * time.Second

// runRule runs a rule and looks for what it leaves behind. A rule that hangs fails with the stacks of all goroutines,
// and is left to itself, so that the others run all the same.
func (e *Env) runRule(r Rule) {
	t := e.T
	over := make(chan struct{})
	go func() {
		defer close(over)
		e.begin()
		defer e.end()
		r.Test(e)
	}()
	hung := ""
	select {
	case <-over:
		return
	case hung = <-e.hung:
	case <-time.After(longest):
		hung = fmt.Sprintf("the rule has not ended after %v", longest)
	}
	e.abandon()
	t.Fatalf("%s hangs: %s\n%s", r.Name, hung, stacks())
}

// Scenario runs one of several scenarios of a rule, as a subtest. If it fails the others run all the same. What it opens
// is closed with the rule.
func (e *Env) Scenario(name string, fn func()) {
	rule := e.T
	rule.Run(name, func(t *testing.T) {
		e.reportTo(t)
		defer e.reportTo(rule)
		fn()
	})
}

// reportTo makes t the test that fails and logs.
func (e *Env) reportTo(t *testing.T) {
	e.guard.Lock()
	e.T = t
	e.guard.Unlock()
}

// within runs fn, which must return within patience. If it does not, the rule fails with what.
func (e *Env) within(what string, fn func()) {
	alarm := time.AfterFunc(patience, func() {
		select {
		case e.hung <- fmt.Sprintf("%s has not returned after %v", what, patience):
		default:
		}
	})
	defer alarm.Stop()
	fn()
}

// stacks are those of all goroutines.
func stacks() []byte {
	b := make([]byte, 1<<20)
	return b[:runtime.Stack(b, true)]
}

// The following methods are testing.T's. A rule that hung may go on after its test has failed, and must not use the T any
// longer.

// abandon ends the Env's use of its T.
func (e *Env) abandon() {
	e.guard.Lock()
	e.abandoned = true
	e.guard.Unlock()
}

// report calls fn unless the rule was abandoned. Then it ends the goroutine if fatal is set.
func (e *Env) report(fatal bool, fn func()) {
	e.guard.Lock()
	defer e.guard.Unlock()
	if !e.abandoned {
		fn()
	} else if fatal {
		runtime.Goexit()
	}
}

// Helper does nothing: an assertion reports all of its callers, and callbacks may call this at any time.
func (e *Env) Helper() {}

// Error is testing.T's.
func (e *Env) Error(args ...any) {
	e.report(false, func() { e.T.Error(args...) })
}

// Errorf is testing.T's.
func (e *Env) Errorf(format string, args ...any) {
	e.report(false, func() { e.T.Errorf(format, args...) })
}

// Fatal is testing.T's.
func (e *Env) Fatal(args ...any) {
	e.report(true, func() { e.T.Fatal(args...) })
}

// Fatalf is testing.T's.
func (e *Env) Fatalf(format string, args ...any) {
	e.report(true, func() { e.T.Fatalf(format, args...) })
}

// FailNow is testing.T's.
func (e *Env) FailNow() {
	e.report(true, func() { e.T.FailNow() })
}

// Log is testing.T's.
func (e *Env) Log(args ...any) {
	e.report(false, func() { e.T.Log(args...) })
}

// Logf is testing.T's.
func (e *Env) Logf(format string, args ...any) {
	e.report(false, func() { e.T.Logf(format, args...) })
}
