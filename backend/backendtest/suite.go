package backendtest

import (
	"slices"
	"sync"
	"testing"
)

// Rule is one promise and its test.
type Rule struct {
	Name string // S07_WholeWrites
	Test func(*Env)
}

// Rules are all rules, in order.
func Rules() []Rule {
	var all []Rule
	for _, chapter := range [][]Rule{
		bytesRules, writingRules, endingRules, beginningRules, listenRules, timeRules, limitRules, optionRules,
		transportRules,
		frameRules,
		exactRules,
		messageRules,
		messageTimeRules,
		sessionRules,
		handoverRules,
		notifyRules,
		combineRules,
		coreLimitRules,
		coreEndRules,
		coreDeathRules,
		openingRules,
		failedRules,
		abortRules,
		dialRaceRules,
		dialHookRules,
		dialNetRules,
		dialEndRules,
		loadRules,
		quietRules,
		elsewhereRules,
		turnRules,
		scaleRules,
		deathRules,
		detachRules,
		tlsRules,
		tlsFailureRules, tlsDialRules, tlsHostileRules, detachTLSRules,
		detachedRules,
		sharedRules,
		stageRules,
		memoryRules,
		callbackRules,
		workRules,
		workEndRules,
		slowRules,
		relayRules,
		relayEndRules,
		relayBeginRules, relayAgainRules,
		shareRules,
		sourceRules,
		unixRules,
	} {
		all = append(all, chapter...)
	}
	return all
}

// Run runs all rules in one Setup.
func Run(t *testing.T, s Setup) {
	if s.Network == "" {
		s.Network = "tcp"
	}
	if s.HandedOver == 0 {
		s.HandedOver = 3 << 20
	}
	if s.Turns == 0 {
		s.Turns = 2
	}
	if !s.available(t) {
		return
	}
	_ = pattern() // now, and not while a rule measures a time
	if s.Beside != "" {
		runBeside(t, s)
		return
	}
	var waiting []Rule
	for _, r := range s.rules() {
		if slices.Contains(waitingRules, r.Name) {
			waiting = append(waiting, r)
			continue
		}
		t.Run(r.Name, func(t *testing.T) { newEnv(t, s).runRule(r) })
	}
	runTogether(t, s, waiting)
}

// rules are those that the setup has chosen. One that cannot hold is replaced by a loud skip.
func (s *Setup) rules() (chosen []Rule) {
	for _, r := range Rules() {
		if s.Chosen != nil && !s.Chosen(r.Name) {
			continue
		}
		if why, ok := s.Without[r.Name]; ok {
			r.Test = func(e *Env) { e.Skipf("NOT TESTED: it cannot hold here: %s", why) }
		}
		chosen = append(chosen, r)
	}
	return chosen
}

// waitingRules spend most of their time waiting, look at nothing that belongs to the whole process, and do not fail if
// the others keep the processor for a while. They run at the same time, when all other rules have ended.
var waitingRules = []string{
	"S06_StuckHandler", "S14_HalfCloseTimeout", "S16_InStagesForSoLong", "S21_LogCountsTheRest", "S22_Idle",
	"S26_ResultsInOneTurn", "S40_Dials", "S40_HalfClosedPeer", "S40_Listeners", "S40_SlowDownload", "S40_Streams",
	"Frames_TimeoutSleeps",
}

// runTogether runs rules at the same time, and looks for what they leave behind when all have ended.
func runTogether(t *testing.T, s Setup, rules []Rule) {
	startPoller()
	before := takeCensus()
	var all sync.WaitGroup
	for _, r := range rules {
		all.Go(func() {
			t.Run(r.Name, func(t *testing.T) {
				e := newEnv(t, s)
				e.together = true
				e.runRule(r)
			})
		})
	}
	all.Wait()
	nothingAbove(t, s, before)
}

// nothingAbove checks that there are no more descriptors and goroutines than before.
func nothingAbove(t *testing.T, s Setup, before census) {
	before.goroutines++ // the one of the rule that looks
	newEnv(t, s).runRule(Rule{"the end", func(e *Env) { e.before = before }})
}
