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
// It runs beside bystanders, if b is not nil.
func runRule(t *testing.T, s Setup, r Rule, b *bystanders) {
	e := &Env{T: t, Setup: s, hung: make(chan string, 1), bystanders: b}
	if b != nil {
		e.under = b.t
	}
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

// What follows is testing.T's, for a rule that may go on after its test has failed because it hung: it must not touch
// the T any longer.

// abandon ends the Env's use of its T.
func (e *Env) abandon() {
	e.guard.Lock()
	e.abandoned = true
	e.guard.Unlock()
}

// report calls fn unless the rule was abandoned. Then it ends the goroutine if fatal is set.
func (e *Env) report(fatal bool, fn func()) {
	e.Helper()
	e.guard.Lock()
	defer e.guard.Unlock()
	if !e.abandoned {
		fn()
	} else if fatal {
		runtime.Goexit()
	}
}

// Error is testing.T's.
func (e *Env) Error(args ...any) {
	e.Helper()
	e.report(false, func() { e.Helper(); e.T.Error(args...) })
}

// Errorf is testing.T's.
func (e *Env) Errorf(format string, args ...any) {
	e.Helper()
	e.report(false, func() { e.Helper(); e.T.Errorf(format, args...) })
}

// Fatal is testing.T's.
func (e *Env) Fatal(args ...any) {
	e.Helper()
	e.report(true, func() { e.Helper(); e.T.Fatal(args...) })
}

// Fatalf is testing.T's.
func (e *Env) Fatalf(format string, args ...any) {
	e.Helper()
	e.report(true, func() { e.Helper(); e.T.Fatalf(format, args...) })
}

// FailNow is testing.T's.
func (e *Env) FailNow() {
	e.Helper()
	e.report(true, func() { e.T.FailNow() })
}

// Log is testing.T's.
func (e *Env) Log(args ...any) {
	e.Helper()
	e.report(false, func() { e.Helper(); e.T.Log(args...) })
}

// Logf is testing.T's.
func (e *Env) Logf(format string, args ...any) {
	e.Helper()
	e.report(false, func() { e.Helper(); e.T.Logf(format, args...) })
}
