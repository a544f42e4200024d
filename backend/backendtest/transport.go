package backendtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on a Transport as a whole. Those on its end are in transport_shutdown.go, those on a Transport without
// goroutines in transport_driven.go, those on what a long life costs in transport_steady.go.
var transportRules = []Rule{
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
	{"S34_EndElsewhere", drivenEndElsewhere},
	{"S35_Stats", stats},
	{"S35_StreamStats", streamStats},
	{"S36_NoLeak", noLeak},
	{"S37_NoAllocation", noAllocation},
}

// failedStart has loops that cannot start. What they had is given back, and the error says what failed.
func failedStart(e *Env) {
	if !e.once() {
		return
	}
	var o Options
	o.Loops, o.Affinity = 2, []int{0, 1023}
	if runtime.NumCPU() > 1023 {
		return
	}
	_, err := start(e.Drivers, o)
	assert.ErrorContains(e, err, "CPU 1023", "a CPU that is not there")
	o.Loops, o.Affinity, o.CallerDriven = 1, []int{1023}, true
	t, err := start(e.Drivers, o)
	require.NoError(e, err, "open")
	for range 2 {
		_, err := t.Poll(0)
		assert.ErrorContains(e, err, "CPU 1023", "Poll on a CPU that is not there")
	}
	_ = t.Close()
}

// stats counts streams, bytes and timers. The figures of the Transport are exact.
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
		e.exchange(peers, size)
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
		x := s.Stats()
		assert.EqualValues(e, each, x.BytesQueued, "the figures of a stream that has sent that much")
		assert.EqualValues(e, each, x.BytesSent, "the figures of a stream that has sent that much")
	}
	leave.Store(true)
	for _, p := range peers {
		_, err := p.Write(Pattern(unread))
		require.NoError(e, err, "write")
	}
	_, err := all[0].Write(Pattern(10)) // from here, so it goes straight to the kernel
	require.NoError(e, err, "write")
	e.statsAre(func(s session.Stats) error {
		return errors.Join(same("BytesIn", s.BytesIn, streams*(each+unread)), same("BytesDelivered", s.BytesDelivered, streams*each),
			same("BytesOut", s.BytesOut, streams*each+10), same("DirectWrites", s.DirectWrites, 1))
	})
	for _, s := range all {
		require.NoError(e, s.Close(), "close")
	}
	e.statsAre(func(s session.Stats) error {
		return errors.Join(same("Streams", s.Streams, 0), same("Closed", s.Closed, streams), same("Sockets", s.Sockets, 0),
			same("Requests", s.Requests, 0), same("BytesDropped", s.BytesDropped, streams*unread))
	})
}

// exchange has each peer send a message and read the answer.
func (e *Env) exchange(peers []Peer, size int) {
	for _, p := range peers {
		_, err := p.Write(Pattern(size))
		require.NoError(e, err, "write")
		e.ReadAll(p, size)
	}
}

func same[N int | uint64](what string, got, want N) error {
	if got != want {
		return fmt.Errorf("%s is %d, not %d", what, got, want)
	}
	return nil
}

// statsAre waits for figures, which loops publish at the end of a turn.
func (e *Env) statsAre(wrong func(session.Stats) error) {
	e.Helper()
	require.True(e, waitFor(func() bool { return wrong(e.Under().Stats()) == nil }), wrong(e.Under().Stats()))
}

// plausible checks figures that depend on how bytes were cut into pieces and events into turns.
func (e *Env) plausible(s session.Stats, messages uint64) {
	e.Helper()
	if !e.Dialled {
		assert.Equal(e, s.Opened, s.Accepts, "connections that were accepted, and that were opened")
	}
	assert.GreaterOrEqual(e, s.Reads, messages, "reads and writes for %d messages", messages)
	assert.GreaterOrEqual(e, s.Writes, messages, "reads and writes for %d messages", messages)
	assert.LessOrEqual(e, s.Reads, s.BytesIn, "reads and writes for %d messages", messages)
	assert.LessOrEqual(e, s.Writes, s.BytesOut, "reads and writes for %d messages", messages)
	assert.NotZero(e, s.Turns, "figures: %+v", s)
	assert.GreaterOrEqual(e, s.Polls, s.Sleeps, "figures: %+v", s)
	assert.NotZero(e, s.Sleeps, "figures: %+v", s)
	assert.NotZero(e, s.WakeUps, "figures: %+v", s)
	assert.NotZero(e, s.SystemCalls, "figures: %+v", s)
	assert.Equal(e, e.Requests, (s.Submissions > 0), "submissions and completions, and Setup.Requests: %+v", s)
	assert.Equal(e, e.Requests, (s.Completions > 0), "submissions and completions, and Setup.Requests: %+v", s)
	if !e.Requests {
		assert.Zero(e, s.NoBuffers+s.Overflows, "figures of queues: %+v", s)
	}
	if e.Requests {
		assert.GreaterOrEqual(e, s.Completions, s.Reads, "completions, and reads")
	}
}

// arrives waits for a value from a channel, or for its close.
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

// patient returns a context that ends after patience.
func (e *Env) patient() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	e.T.Cleanup(cancel)
	return ctx
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
