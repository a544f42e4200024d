package backendtest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// quietRules are about loops on which nothing can move: they sleep.
var quietRules = []Rule{
	{"S40_Streams", quietStreams},
	{"S40_ErrorQueues", quietErrorQueues},
	{"S40_Listeners", quietListeners},
	{"S40_Dials", quietDials},
}

// quietState is a state in which nothing can move, and the Transport whose loop has to sleep in it.
type quietState struct {
	name  string
	t     *session.Engine
	turns uint64
}

// sleeps checks that the loops of all states sleep: each makes at most 20 turns a second. On a busy machine it may take a
// while until what brought the states about is over, so it looks several times.
func (e *Env) sleeps(states []quietState) {
	e.Helper()
	var busy []string
	for range 4 {
		time.Sleep(4 * moment)
		for i, s := range states {
			states[i].turns = s.t.Stats().Turns
		}
		time.Sleep(500 * time.Millisecond)
		busy = busy[:0]
		for _, s := range states {
			if turns := s.t.Stats().Turns - s.turns; turns > 10 {
				busy = append(busy, fmt.Sprintf("%s: %d", s.name, turns))
			}
		}
		if len(busy) == 0 {
			return
		}
	}
	assert.Empty(e, busy, "turns in 500 ms")
}

// stuck is a stream on which nothing can move: what its handler does when it opens, and what its peer does then.
type stuck struct {
	name string
	open func(*session.Stream)
	peer func(Peer) error
}

// stuckStreams are the states of single streams.
var stuckStreams = []stuck{
	{"idle", nil, nil},
	{"paused, with bytes that wait", (*session.Stream).PauseRead, sendSome},
	{"paused, and the peer has finished", (*session.Stream).PauseRead, sendAndFinish},
	{"paused, and the peer has reset", (*session.Stream).PauseRead, sendAndReset},
	{"the peer has finished", nil, Peer.CloseWrite},
	{"both have finished", finish, nil},
	{"finished, paused, and the peer too", func(s *session.Stream) { finish(s); s.PauseRead() }, sendAndFinish},
	{"a full queue", fillQueue, nil},
	{"a full queue, and bytes that wait", fillQueue, sendSome},
	{"a full queue, and the peer has finished", fillQueue, Peer.CloseWrite},
	{"a full queue, paused, and the peer has finished", func(s *session.Stream) { fillQueue(s); s.PauseRead() }, sendAndFinish},
	{"a full queue, to be finished, and the peer has", func(s *session.Stream) { fillQueue(s); finish(s) }, Peer.CloseWrite},
	{"a full queue, closing", func(s *session.Stream) { fillQueue(s); _ = s.Close() }, nil},
	{"a full queue, closing, and the peer has finished", func(s *session.Stream) { fillQueue(s); _ = s.Close() }, Peer.CloseWrite},
	{"a handler that leaves everything unread", nil, func(p Peer) error { return ignore(p.Write(Pattern(64 << 10))) }},
}

func ignore(_ int, err error) error { return err }

func sendSome(p Peer) error { return ignore(p.Write([]byte("some bytes"))) }

func sendAndFinish(p Peer) error {
	if err := sendSome(p); err != nil {
		return err
	}
	return p.CloseWrite()
}

func sendAndReset(p Peer) error {
	if err := sendSome(p); err != nil {
		return err
	}
	time.Sleep(moment)
	return p.Reset()
}

func finish(s *session.Stream) { _ = s.CloseWrite() }

// fillQueue writes more than the kernel takes for a peer that does not read.
func fillQueue(s *session.Stream) { _, _ = s.Write(pattern()[:6<<20]) }

// quietStreams has streams on which nothing can move.
func quietStreams(e *Env) {
	var states []quietState
	var peers []Peer
	for _, one := range stuckStreams {
		t := e.Open(func(o *Options) { o.Loops = 1 })
		h := NewHooks()
		h.Open = one.open
		h.Data = func(*session.Stream) {} // and leaves it
		_, p := e.PairOn(t, h, session.StreamOptions{
			AllowHalfClose: true, IdleTimeout: time.Hour, CloseTimeout: time.Hour, ReadBufferLimit: 16 << 10,
		})
		states, peers = append(states, quietState{name: one.name, t: t}), append(peers, p)
	}
	time.Sleep(moment) // the streams are in their states
	for i, one := range stuckStreams {
		if one.peer != nil {
			require.NoError(e, one.peer(peers[i]), one.name)
		}
	}
	e.sleeps(states)
}

// quietListeners has listeners that may not accept, with connections in the backlog.
func quietListeners(e *Env) {
	if e.Dialled || e.Peers != nil {
		return // the same code
	}
	var states []quietState
	for name, c := range map[string]struct {
		o     session.ListenOptions
		pause bool
	}{
		"at MaxConns":           {o: session.ListenOptions{MaxConns: 1}},
		"paused":                {pause: true},
		"paused and at a limit": {o: session.ListenOptions{MaxConns: 1}, pause: true},
	} {
		t := e.Open(func(o *Options) { o.Loops = 1 })
		h := NewHooks()
		h.env(e)
		l, err := t.Listen(e.Network, e.Address(), h, &c.o)
		require.NoError(e, err)
		if c.pause {
			l.PauseAccept()
		}
		for range 5 {
			e.Connect(l.Addr())
		}
		states = append(states, quietState{name: "a listener " + name, t: t})
	}
	e.sleeps(states)
}

// quietDials has a dial wait for a peer that does not answer.
func quietDials(e *Env) {
	if !e.once() {
		return
	}
	address := e.deafListener()
	if address == "" {
		return
	}
	var states []quietState
	for i, change := range []func(*Env, *session.DialOptions){
		func(*Env, *session.DialOptions) {},
		errorQueueBeforeConnect,
	} {
		t := e.Open(func(o *Options) { o.Loops = 1 })
		h := NewHooks()
		h.env(e)
		o := &session.DialOptions{}
		change(e, o)
		_, err := t.Connect("tcp", address, h, o)
		require.NoError(e, err)
		states = append(states, quietState{name: fmt.Sprintf("dial %d", i), t: t})
	}
	e.sleeps(states)
}
