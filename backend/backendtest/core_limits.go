package backendtest

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// Rules on memory, on times, and on what is logged.
var coreLimitRules = []Rule{
	{"S21_LogIsSpared", panicsAreSpared},
	{"S22_ReadIdle", readIdle},
	{"S23_Every", every},
	{"S35_EachLoop", statsOfLoops},
}

// panicsAreSpared has many callbacks panic. A few of them are logged, and how many were not.
func panicsAreSpared(e *Env) {
	if !e.once() {
		return
	}
	t, log := e.openLogging(func(o *Options) { o.Loops = 1 })
	h := NewHooks()
	h.Data = func(*session.Stream) { panic("on purpose") }
	h.env(e)
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(e, err)
	begin := time.Now()
	const all = 60
	for range all {
		_, _ = e.dialPlain(l.Addr()).Write([]byte("x"))
		var p *session.PanicError
		require.ErrorAs(e, h.Closed(), &p)
	}
	seconds := int(time.Since(begin)/time.Second) + 1
	require.LessOrEqual(e, strings.Count(log.String(), "level=ERROR"), min(10*(seconds+1), all-1), "panics that were logged")
	require.EqualValues(e, all, t.Stats().Panics)
}

// readIdle has a stream that writes and gets nothing.
func readIdle(e *Env) {
	h := NewHooks()
	s, p := e.Pair(h, session.StreamOptions{ReadIdleTimeout: 150 * time.Millisecond})
	readOn(p)
	begin := time.Now()
	end := errors.New("the stream lives on")
	for waiting := true; waiting && time.Since(begin) < patience; time.Sleep(5 * time.Millisecond) {
		_, _ = s.Write([]byte("x"))
		select {
		case end = <-h.closed:
			waiting = false
		default:
		}
	}
	require.ErrorIs(e, end, os.ErrDeadlineExceeded)
	require.GreaterOrEqual(e, time.Since(begin), 140*time.Millisecond)
}

// every looks at the times of a repeated function: not early, without drift, and what was missed is dropped.
func every(e *Env) {
	const period = 20 * time.Millisecond
	h := NewHooks()
	s, _ := e.Pair(h, session.StreamOptions{})
	ticks := make(chan time.Duration, 100)
	var timer *session.Timer
	begin := time.Now()
	e.onLoop(s, func() {
		timer = s.Every(period, func() { ticks <- time.Since(begin) })
	})
	for i := 1; i <= 5; i++ {
		require.GreaterOrEqual(e, arrives(e, ticks), time.Duration(i)*period, "tick %d is early", i)
	}
	e.onLoop(s, func() {
		time.Sleep(5 * period) // held up: four ticks are missed
		for len(ticks) > 0 {
			<-ticks
		}
	})
	after := arrives(e, ticks)
	next := arrives(e, ticks)
	require.Greater(e, next-after, time.Duration(0))
	require.True(e, timer.Stop())
	require.False(e, timer.Stop())
	e.turn(s)
	for len(ticks) > 0 {
		<-ticks
	}
	time.Sleep(2 * period)
	require.Empty(e, ticks, "it goes on after Stop")
	s.Every(time.Millisecond, func() { ticks <- 0 })
	arrives(e, ticks)
	require.NoError(e, s.Abort())
	h.Closed()
	for len(ticks) > 0 {
		<-ticks
	}
	time.Sleep(moment)
	require.Empty(e, ticks, "it goes on after OnClose")
}

// statsOfLoops compares the sums with the figures of the loops.
func statsOfLoops(e *Env) {
	if !e.once() {
		return
	}
	t := e.Open(func(o *Options) { o.Loops = 3 })
	h := echo()
	h.env(e)
	l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
	require.NoError(e, err)
	for range 6 {
		e.pingPong(e.dialPlain(l.Addr()))
	}
	e.Eventually(func() bool { return t.Stats().Opened == 6 && t.Stats().BytesOut == t.Stats().BytesIn }, "all figures")
	s := t.Stats()
	require.Len(e, s.Loops, 3)
	var opened, in uint64
	for i, one := range s.Loops {
		require.EqualValues(e, 2, one.Opened, "streams of loop %d", i)
		opened += one.Opened
		in += one.BytesIn
	}
	require.Equal(e, s.Opened, opened)
	require.Equal(e, s.BytesIn, in)
	require.Positive(e, s.LongestCallback)
	require.NotZero(e, s.LongestCallbackStream)
}
