package backendtest

import (
	"bytes"
	"net"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/session"
)

// Rules on ends in which two things meet: a time and a reader, a failure and a budget, a close and a peer that sends on.
var coreEndRules = []Rule{
	{"S16_EndsDelivery", endsDelivery},
	{"S33_HandlerTime", handlerTime},
}

// endsDelivery ends streams that have failed, in the callback for the first of the bytes that came before the failure.
func endsDelivery(e *Env) {
	for name, end := range map[string]func(*session.Stream) error{"Close": (*session.Stream).Close, "Abort": (*session.Stream).Abort} {
		e.Scenario(name, func() {
			calls := 0
			codec := frame.U64{}
			h := session.Frames(codec, func(s *session.Stream, _ []byte) {
				if calls++; calls == 1 {
					_ = end(s)
				}
			})
			opened, release, closed := make(chan *session.Stream, 1), make(chan struct{}), make(chan error, 1)
			h.Open = func(s *session.Stream) {
				opened <- s
				await(release)                 // until bytes and reset are both there
				_, _ = s.Write([]byte("lost")) // finds out about the reset
			}
			h.Close = func(_ *session.Stream, err error) { closed <- err }
			l, err := e.Under().Listen("tcp", "127.0.0.1:0", h, nil)
			require.NoError(e, err)
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(e, err)
			arrives(e, opened)
			one, _ := codec.Append(nil, []byte("hello"))
			_, err = c.Write(bytes.Repeat(one, 10))
			require.NoError(e, err)
			require.NoError(e, plainPeer{c.(halfCloser)}.Reset())
			time.Sleep(moment) // the kernel knows of the reset
			close(release)
			_ = arrives(e, closed)
			require.LessOrEqual(e, calls, 1, "messages, of which the first one calls %s", name)
			require.NoError(e, l.Close())
		})
	}
}

// handlerTime has handlers that need long. One stream gets about a millisecond of a turn, for bytes as for messages.
func handlerTime(e *Env) {
	t := e.Open(func(o *Options) { o.Loops = 1 })
	var most, turn, inTurn, total int
	done := make(chan struct{})
	const all, each = 400, 300 * time.Microsecond
	h := session.Frames(frame.U64{}, func(*session.Stream, []byte) {
		for begin := time.Now(); time.Since(begin) < each; {
		}
		if now := int(t.Stats().Turns); now != turn {
			turn, inTurn = now, 0
		}
		inTurn++
		most = max(most, inTurn)
		if total++; total == all {
			close(done)
		}
	})
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	p := e.dialPlain(l.Addr())
	one, _ := frame.U64{}.Append(nil, []byte("hello"))
	_, err = p.Write(bytes.Repeat(one, all))
	require.NoError(e, err)
	require.True(e, await(done), "not all messages came")
	require.LessOrEqual(e, most, 16, "messages of %v in one turn", each)
}
