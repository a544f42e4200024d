package backendtest

import (
	"net"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// The rules on calls of Relay that fail, and on those that come behind them.
var relayAgainRules = []Rule{
	{"Relay_BehindOneThatFailed", relayAgain},
	{"Relay_StartTLSFailsBeforeItBegins", relayStartTLSFailsEarly},
	{"Relay_RefusesAClosedDial", relayRefusesClosedDial},
}

// relayAgain calls Relay for a stream whose peer has finished, first with a stream that has ended, and then with another one.
// What the first call has put off does not end the second relay.
func relayAgain(e *Env) {
	ended, _ := e.Pair(unread(), session.StreamOptions{})
	require.NoError(e, ended.Abort())
	e.Eventually(func() bool { return over(ended) }, "an end")
	for _, inside := range []bool{true, false} {
		e.Scenario(map[bool]string{true: "in OnEOF", false: "while OnEOF runs"}[inside], func() {
			t := e.oneLoop()
			to := t
			if !inside {
				to = e.Open(nil)
			}
			r, h := e.newRelayed(), unread()
			told, goOn := make(chan *session.Stream, 1), make(chan struct{})
			twice := func(s *session.Stream) {
				assert.ErrorIs(e, session.Relay(s, ended, nil), net.ErrClosed)
				assert.NoError(e, session.Relay(s, r.b, r.options()))
			}
			h.EOF = func(s *session.Stream) {
				if inside {
					twice(s)
					return
				}
				told <- s
				await(goOn)
			}
			r.b, r.pb = e.PairOn(to, unread(), session.StreamOptions{})
			r.a, r.pa = e.PairOn(t, h, session.StreamOptions{})
			e.handedOver(r.a, r.b)
			e.sendAndFinish(r.pa, []byte("early"))
			if !inside {
				twice(arrives(e, told))
				close(goOn)
			}
			readOn(r.pb).gotAll(e, []byte("early"))
			time.Sleep(moment) // for an end that must not come
			e.sendAndFinish(r.pb, []byte("late"))
			readOn(r.pa).gotAll(e, []byte("late"))
			r.endedWell(5, 4)
		})
	}
}

// relayStartTLSFailsEarly has the handshake of StartTLS fail, with plain bytes unread, when Relay was called, and the loop has
// had no time yet to take the stream over.
func relayStartTLSFailsEarly(e *Env) {
	if !e.once() || e.TLS {
		return
	}
	r, plain := e.relayInHandshake()
	release := hold(r.a)
	for range 100 { // more than a turn has time for
		require.NoError(e, r.a.Post(func() { time.Sleep(time.Millisecond) }))
	}
	r.join()
	_, err := r.pa.Write([]byte(noRecord))
	require.NoError(e, err)
	release()
	r.cutBehind(nil, plain)
}

// relayRefusesClosedDial asks for a relay with a stream that was closed while it was being connected. That changes nothing.
func relayRefusesClosedDial(e *Env) {
	if !e.once() {
		return
	}
	for name, end := range map[string]func(*session.Stream) error{
		"Close": (*session.Stream).Close,
		"Abort": (*session.Stream).Abort,
		"AbortWith": func(s *session.Stream) error {
			return s.AbortWith(errOnPurpose)
		},
	} {
		e.Scenario(name, func() {
			far := NewHooks()
			far.env(e)
			a, pa := e.Pair(unread(), session.StreamOptions{})
			b, err := e.Under().Connect("tcp", "mute.test.:1", far, &session.DialOptions{Resolver: names{"mute.test.": nil}.resolver(e)})
			require.NoError(e, err)
			require.NoError(e, end(b))
			assert.ErrorIs(e, session.Relay(a, b, nil), net.ErrClosed)
			assert.ErrorIs(e, session.Relay(b, a, nil), net.ErrClosed)
			assert.Error(e, far.Closed())
			assert.ErrorIs(e, session.Relay(a, b, nil), net.ErrClosed, "when it has ended")
			_, err = a.Write([]byte("goes on"))
			require.NoError(e, err)
			require.Equal(e, "goes on", string(e.ReadAll(pa, 7)))
		})
	}
}
