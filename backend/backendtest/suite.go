package backendtest

import "testing"

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
		detachedRules,
		stageRules,
		memoryRules,
		callbackRules,
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
	if s.Beside != "" {
		runBeside(t, s)
		return
	}
	for _, r := range Rules() {
		t.Run(r.Name, func(t *testing.T) { runRule(t, s, r, nil) })
	}
}
