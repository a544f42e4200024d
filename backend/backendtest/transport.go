package backendtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
)

// The rules on a Transport as a whole. Those on its end are in transport_shutdown.go, those on a Transport without
// goroutines in transport_driven.go, those on what a long life costs in transport_steady.go.
var transportRules = []Rule{
	{"S31_Info", info},
	{"S31_Environment", environment},
	{"S31_Arguments", openArguments},
	{"S31_FailedStart", failedStart},
	{"S32_Shutdown", shutdown},
	{"S32_Drain", drain},
	{"S32_ContextEnds", shutdownContextEnds},
	{"S32_InCallback", shutdownInCallback},
	{"S32_Twice", shutdownTwice},
	{"S32_AfterTheEnd", afterShutdown},
	{"S32_BeginningsMeanwhile", beginningsMeanwhile},
	{"S32_WritesMeanwhile", writesMeanwhile},
	{"S32_Mappings", mappings},
	{"S33_Fairness", fairness},
	{"S33_FairnessOfBytes", fairnessOfBytes},
	{"S34_CallerDriven", callerDriven},
	{"S34_Peers", drivenPeers},
	{"S34_OneGoroutine", drivenByOne},
	{"S34_Sleep", drivenSleep},
	{"S34_End", drivenEnd},
	{"S35_Stats", stats},
	{"S36_NoLeak", noLeak},
	{"S37_NoAllocation", noAllocation},
}

func info(e *Env) {
	if e.Peer != nil {
		return
	}
	i := e.Under().Info()
	if i.Backend != e.Options.Backend || i.Loops != 2 || i.Kernel == "" || len(i.Features) == 0 {
		e.Errorf("Info is %+v", i)
	}
	if !strings.Contains(i.Reason, "Options.Backend") {
		e.Errorf("the reason for a backend that was asked for is %q", i.Reason)
	}
	if rung := e.Options.UringRung; rung != "" && !slices.Contains(i.Features, "rung "+rung) {
		e.Errorf("the features are %q, and the rung should be %s", i.Features, rung)
	}
	for _, part := range []string{i.Backend.String(), i.Kernel, i.Features[0], i.Reason} {
		if !strings.Contains(i.String(), part) {
			e.Errorf("String is %q, without %q", i.String(), part)
		}
	}
}

// environment sets TANDEM_BACKEND, which decides where a program asked for Auto, and only there.
func environment(e *Env) {
	if !e.once() {
		return
	}
	mine := e.Options.Backend
	other := tandem.Epoll
	if mine == tandem.Epoll {
		other = tandem.Uring
	}
	auto := func(o *tandem.Options) { o.Backend = tandem.Auto }
	e.Setenv("TANDEM_BACKEND", mine.String())
	if i := e.Open(auto).Info(); i.Backend != mine || !strings.Contains(i.Reason, "TANDEM_BACKEND") {
		e.Errorf("with TANDEM_BACKEND=%s Auto means %v", mine, i)
	}
	e.Setenv("TANDEM_BACKEND", other.String())
	if i := e.Open(nil).Info(); i.Backend != mine {
		e.Errorf("TANDEM_BACKEND=%s overrides Options.Backend: %v", other, i)
	}
	e.Setenv("TANDEM_BACKEND", "auto")
	if i := e.Open(auto).Info(); strings.Contains(i.Reason, "TANDEM_BACKEND") || i.Reason == "" {
		e.Errorf("with TANDEM_BACKEND=auto the reason is %q", i.Reason)
	}
	e.Setenv("TANDEM_BACKEND", "kqueue")
	o := e.Options
	auto(&o)
	_, err := tandem.Open(quiet(o))
	if err == nil || !strings.Contains(err.Error(), "TANDEM_BACKEND") || !strings.Contains(err.Error(), "kqueue") {
		e.Errorf("with TANDEM_BACKEND=kqueue: %v", err)
	}
	e.Open(nil) // what was not Auto does not look at it
}

// openArguments asks for what cannot be. The error names the field.
func openArguments(e *Env) {
	if !e.once() {
		return
	}
	for field, change := range map[string]func(*tandem.Options){
		"Backend":                func(o *tandem.Options) { o.Backend = 7 },
		"Loops":                  func(o *tandem.Options) { o.Loops = -1 },
		"Spin":                   func(o *tandem.Options) { o.Spin = -1 },
		"Balance":                func(o *tandem.Options) { o.Balance = 9 },
		"Affinity":               func(o *tandem.Options) { o.Affinity = []int{0, 0, 0} },
		"CallerDriven":           func(o *tandem.Options) { o.CallerDriven, o.Loops = true, 2 },
		"ExpectedStreams":        func(o *tandem.Options) { o.ExpectedStreams = -1 },
		"UringEntries":           func(o *tandem.Options) { o.UringEntries = -1 },
		"UringCompletionEntries": func(o *tandem.Options) { o.UringEntries, o.UringCompletionEntries = 1024, 512 },
		"UringBuffers":           func(o *tandem.Options) { o.UringBuffers = 1 << 20 },
		"UringBufferSize":        func(o *tandem.Options) { o.UringBufferSize = 1 << 30 },
		"UringRung":              func(o *tandem.Options) { o.UringRung = "top" },
	} {
		o := e.Options
		change(&o)
		if _, err := tandem.Open(quiet(o)); err == nil || !strings.Contains(err.Error(), field) {
			e.Errorf("an impossible %s gives %v", field, err)
		}
	}
	for field, stream := range impossibleStreamOptions {
		o := e.Options
		o.StreamOptions = stream
		if _, err := tandem.Open(quiet(o)); err == nil || !strings.Contains(err.Error(), field) {
			e.Errorf("an impossible %s gives %v", field, err)
		}
	}
}

// failedStart has loops that cannot start. What they had is given back, and the error says what failed.
func failedStart(e *Env) {
	if !e.once() {
		return
	}
	o := e.Options
	o.Loops, o.Affinity = 2, []int{0, 1023}
	if runtime.NumCPU() > 1023 {
		return
	}
	if _, err := tandem.Open(quiet(o)); err == nil || !strings.Contains(err.Error(), "CPU 1023") {
		e.Errorf("a CPU that is not there gives %v", err)
	}
	o.Loops, o.Affinity, o.CallerDriven = 1, []int{1023}, true
	t, err := tandem.Open(quiet(o))
	e.Check(err, "open")
	for range 2 {
		if _, err := t.Poll(0); err == nil || !strings.Contains(err.Error(), "CPU 1023") {
			e.Errorf("Poll on a CPU that is not there: %v", err)
		}
	}
	_ = t.Close()
}

func stats(e *Env) {
	const streams, messages, size, unread = 5, 20, 1000, 77
	var leave atomic.Bool
	h := NewHooks()
	h.Data = func(s *session.Stream) {
		if leave.Load() {
			return
		}
		p, _ := s.Next(-1)
		_, _ = s.Write(p)
	}
	var all []*session.Stream
	var peers []Peer
	for range streams {
		s, p := e.Pair(h, session.StreamOptions{})
		all, peers = append(all, s), append(peers, p)
	}
	for range messages {
		for _, p := range peers {
			_, err := p.Write(Pattern(size))
			e.Check(err, "write")
			e.ReadAll(p, size)
		}
	}
	fired := make(chan struct{}, 3)
	for i := range 3 {
		all[i].After(time.Microsecond, func() { fired <- struct{}{} })
	}
	for range 3 {
		arrives(e, fired)
	}
	const each = messages * size
	e.statsAre(func(s session.Stats) error {
		return errors.Join(
			same("Streams", s.Streams, streams), same("Opened", s.Opened, streams), same("Closed", s.Closed, 0),
			same("BytesIn", s.BytesIn, streams*each), same("BytesDelivered", s.BytesDelivered, streams*each),
			same("BytesOut", s.BytesOut, streams*each), same("BytesDropped", s.BytesDropped, 0), same("Timers", s.Timers, 3),
			same("Panics", s.Panics, 0), same("AcceptErrors", s.AcceptErrors, 0), same("DirectWrites", s.DirectWrites, 0))
	})
	e.plausible(e.Under().Stats(), streams*messages)
	for _, s := range all {
		if x := s.Stats(); x.BytesQueued != each || x.BytesSent != each {
			e.Errorf("a stream that sent %d bytes has the figures %+v", each, x)
		}
	}
	leave.Store(true)
	for _, p := range peers {
		_, err := p.Write(Pattern(unread))
		e.Check(err, "write")
	}
	_, err := all[0].Write(Pattern(10)) // from here, so it goes straight to the kernel
	e.Check(err, "write")
	e.statsAre(func(s session.Stats) error {
		return errors.Join(same("BytesIn", s.BytesIn, streams*(each+unread)), same("BytesDelivered", s.BytesDelivered, streams*each),
			same("BytesOut", s.BytesOut, streams*each+10), same("DirectWrites", s.DirectWrites, 1))
	})
	for _, s := range all {
		e.Check(s.Close(), "close")
	}
	e.statsAre(func(s session.Stats) error {
		return errors.Join(same("Streams", s.Streams, 0), same("Closed", s.Closed, streams), same("Sockets", s.Sockets, 0),
			same("Requests", s.Requests, 0), same("BytesDropped", s.BytesDropped, streams*unread))
	})
}

func same[N int | uint64](what string, got, want N) error {
	if got != want {
		return fmt.Errorf("%s is %d, not %d", what, got, want)
	}
	return nil
}

// statsAre waits for figures, which are told at the end of a loop's turn.
func (e *Env) statsAre(wrong func(session.Stats) error) {
	e.Helper()
	if !waitFor(func() bool { return wrong(e.Under().Stats()) == nil }) {
		e.Fatal(wrong(e.Under().Stats()))
	}
}

// plausible checks figures that depend on how bytes were cut into pieces and events into turns.
func (e *Env) plausible(s session.Stats, messages uint64) {
	e.Helper()
	if !e.Dialled && s.Accepts != s.Opened {
		e.Errorf("%d connections were accepted and %d opened", s.Accepts, s.Opened)
	}
	if s.Reads < messages || s.Writes < messages || s.Reads > s.BytesIn || s.Writes > s.BytesOut {
		e.Errorf("%d reads and %d writes for %d messages", s.Reads, s.Writes, messages)
	}
	if s.Turns == 0 || s.Polls < s.Sleeps || s.Sleeps == 0 || s.WakeUps == 0 || s.SystemCalls == 0 {
		e.Errorf("%d turns, %d polls, %d sleeps, %d wake-ups, %d system calls", s.Turns, s.Polls, s.Sleeps, s.WakeUps, s.SystemCalls)
	}
	uring := e.Options.Backend == tandem.Uring
	if (s.Submissions > 0) != uring || (s.Completions > 0) != uring || !uring && s.NoBuffers+s.Overflows != 0 {
		e.Errorf("%d submissions and %d completions on %v", s.Submissions, s.Completions, e.Options.Backend)
	}
	if uring && s.Completions < s.Reads {
		e.Errorf("%d completions for %d reads", s.Completions, s.Reads)
	}
}

// arrives waits for a value out of a channel, or for its end.
func arrives[T any](e *Env, ch <-chan T) T {
	e.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		e.Fatal("it never comes")
		panic("unreachable")
	}
}

// patient is a context that ends when nothing is to be expected any longer.
func (e *Env) patient() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	e.T.Cleanup(cancel)
	return ctx
}

// ended is a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
