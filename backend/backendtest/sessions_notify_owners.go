package backendtest

import (
	"bytes"
	"math/rand/v2"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session/polled"
)

// echoing is one of two owners that send messages to and fro. They wait for a call and for nothing else.
type echoing struct {
	e    *Env
	s    polled.Bytes
	out  [][]byte // to be written
	want int      // messages that are to come
	echo bool     // they are sent back
	err  error
}

// turn does what can be done now, and reports whether that was anything.
func (o *echoing) turn() (more bool) {
	a, err := o.s.Drive()
	if o.err = err; err != nil {
		return false
	}
	more = a == polled.Active
	m, status, err := o.s.Read()
	if o.err = err; err != nil {
		return false
	}
	more = more || status != polled.None
	if status == polled.Data {
		o.want--
		if o.echo {
			o.out = append(o.out, bytes.Clone(m))
		}
	}
	for len(o.out) > 0 {
		_, status, err := o.s.Write(o.out[0])
		if o.err = err; err != nil || status == polled.Pending {
			return more && err == nil
		}
		o.out, more = o.out[1:], true
	}
	return more
}

// done reports whether all has come, and has gone as far as the stream.
func (o *echoing) done() bool {
	return o.err != nil || o.want == 0 && len(o.out) == 0 && o.s.(*polled.MessageSession[[]byte, []byte]).Queued() == 0
}

// echoingPair makes both owners, of a connection on a Transport with loops, with messages of all sizes.
func echoingPair(e *Env, messages int) (one, two *echoing) {
	e.Helper()
	a, b := e.sessions(e.Under())
	r := rand.New(rand.NewPCG(uint64(messages), 1))
	one = &echoing{e: e, s: polled.NewFramed(a, frame.U64{}, 4096), want: messages}
	two = &echoing{e: e, s: polled.NewFramed(b, frame.U64{}, 4096), want: messages, echo: true}
	for range messages {
		one.out = append(one.out, Pattern([]int{r.IntN(64), r.IntN(64), r.IntN(9000), r.IntN(400_000)}[r.IntN(4)]))
	}
	return one, two
}

// notifyLosesNothing has two goroutines send messages to and fro, and sleep whenever they find nothing.
func notifyLosesNothing(e *Env) {
	if !e.apart() {
		return
	}
	one, two := echoingPair(e, 150)
	ended := make(chan bool, 2)
	for _, o := range []*echoing{one, two} {
		b := newBell(e)
		require.NoError(e, o.s.(polled.Notifier).Notify(b.ring), "notify")
		go func() {
			for {
				for o.turn() {
				}
				if o.done() || !b.wait("messages") {
					ended <- assert.NoError(e, o.err)
					return
				}
			}
		}()
	}
	arrives(e, ended)
	arrives(e, ended)
	require.NoError(e, one.s.Close(), "close")
	require.NoError(e, two.s.Close(), "close")
}

// notifyLosesNothingOnALoop is the same with owners that are loops of another Transport, woken by Post.
func notifyLosesNothingOnALoop(e *Env) {
	if !e.apart() {
		return
	}
	one, two := echoingPair(e, 150)
	other := e.Open(nil)
	ended := make(chan error, 2)
	for i, o := range []*echoing{one, two} {
		loop, over := other.Loop(i), false
		step := func() {
			for !over && o.turn() {
			}
			if !over && o.done() {
				over = true
				ended <- o.err
			}
		}
		require.NoError(e, o.s.(polled.Notifier).Notify(func() { _ = loop.Post(step) }), "notify")
		require.NoError(e, loop.Post(step), "post")
	}
	for range 2 {
		require.NoError(e, arrives(e, ended))
	}
	for i, o := range []*echoing{one, two} {
		closed := make(chan error, 1)
		require.NoError(e, other.Loop(i).Post(func() { closed <- o.s.Close() }))
		require.NoError(e, arrives(e, closed), "close")
	}
}
