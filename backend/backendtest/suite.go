package backendtest

import (
	"os"
	"testing"

	"github.com/tandem-io/tandem"
)

// Setup is one way to run the suite.
type Setup struct {
	Name    string
	Options tandem.Options  // of the Transport under test
	Peer    *tandem.Options // of the peers' Transport; nil: peers are plain net.Conns
	Network string          // "tcp" (default) or "unix"
	Dialled bool            // streams under test dial, instead of being accepted
	Beside  string          // what else is on the loop: "idle" or "bulk" streams; ""
}

// Setups are all ways: each backend and rung, tiny rings, dialled streams, Unix sockets, each pair of backends, and beside
// many other streams.
func Setups() []Setup {
	epoll, uring := tandem.Options{Backend: tandem.Epoll}, tandem.Options{Backend: tandem.Uring}
	tiny := tandem.Options{
		Backend: tandem.Uring, Uring: tandem.UringOptions{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64},
	}
	all := []Setup{{Name: "epoll", Options: epoll}, {Name: "uring", Options: uring}, {Name: "uring-tiny", Options: tiny}}
	for _, rung := range []string{"coop", "plain", "oneshot"} {
		o := uring
		o.Uring.Rung = rung
		all = append(all, Setup{Name: "uring-" + rung, Options: o})
	}
	for _, one := range all[:2] {
		all = append(all,
			Setup{Name: one.Name + "-dialled", Options: one.Options, Dialled: true},
			Setup{Name: one.Name + "-unix", Options: one.Options, Network: "unix"})
	}
	for _, server := range all[:2] {
		for _, client := range all[:2] {
			peer := client.Options
			all = append(all, Setup{Name: server.Name + "-to-" + client.Name, Options: server.Options, Peer: &peer})
		}
	}
	for _, one := range all[:2] {
		for _, beside := range []string{"idle", "bulk"} {
			all = append(all, Setup{Name: one.Name + "-beside-" + beside, Options: one.Options, Beside: beside})
		}
	}
	return all
}

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
	if !available(t, s) {
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

// available opens what the setup needs, once. Where io_uring cannot run its tests are skipped, loudly; with
// TANDEM_REQUIRE_URING=1 they fail.
func available(t *testing.T, s Setup) bool {
	for _, o := range []*tandem.Options{&s.Options, s.Peer} {
		if o == nil || o.Backend != tandem.Uring {
			continue
		}
		tr, err := tandem.Open(quiet(*o))
		if err == nil {
			_ = tr.Close()
			continue
		}
		if os.Getenv("TANDEM_REQUIRE_URING") == "1" {
			t.Fatalf("TANDEM_REQUIRE_URING is set, and io_uring cannot run: %v", err)
		}
		t.Skipf("NOT TESTED: io_uring cannot run here: %v", err)
	}
	return true
}
