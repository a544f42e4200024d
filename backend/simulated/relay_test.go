package simulated_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

// relayTrial is two peers with a relay between them, which do what a seed says.
type relayTrial struct {
	t      *testing.T
	w      *world
	until  func(what string, cond func() bool)
	turn   func() // lets something happen
	r      *rand.Rand
	seed   uint64
	peers  [2]*relayPeer
	done   int
	err    error
	stats  session.RelayStats
	ended  bool // by the user: Abort, Close
	resets bool // the kernel resets connections
	waits  bool // for a peer that reads nothing, however long
}

// relayPeer is one of the peers.
type relayPeer struct {
	*simulated.Peer
	s        *session.Stream
	sent     []byte
	finished bool
	reset    bool
}

// TestRelays has thousands of relays end in every way, on a kernel that does what a kernel may. A peer never gets a byte that
// the other one has not sent there; if it gets EOF, it has all that the other one has sent before its own FIN, or the
// program has closed a stream; and unless something has failed, both get all.
func TestRelays(t *testing.T) {
	seeds := uint64(600)
	if testing.Short() {
		seeds = 200
	}
	kinds(t, func(t *testing.T, completions bool) {
		t.Run("one loop", func(t *testing.T) {
			for seed := range seeds {
				runRelay(t, completions, seed, false)
			}
		})
		t.Run("two loops", func(t *testing.T) {
			for seed := range seeds / 3 {
				synctest.Test(t, func(t *testing.T) { runRelay(t, completions, seed, true) })
			}
		})
	})
}

// runRelay runs one trial: on one loop, which the test polls, or on two that are granted their turns.
func runRelay(t *testing.T, completions bool, seed uint64, two bool) {
	r := rand.New(rand.NewPCG(seed, 1))
	c := simulated.Config{Seed: seed, Faults: simulated.Rough()}
	if r.IntN(2) == 0 {
		c.SendBuffer, c.ReceiveBuffer = 1+r.IntN(5000), 1+r.IntN(5000)
	}
	x := &relayTrial{t: t, r: r, seed: seed}
	if two {
		x.w, _ = stepped(t, completions, c, 2)
		x.until, x.turn = x.w.steps, func() { x.w.k.Step() }
		defer x.w.endStepped()
	} else {
		x.w = newWorld(t, completions, c)
		x.until = x.w.until
		x.turn = func() {
			_, err := x.w.e.Poll(time.Duration(x.r.IntN(1000)) * time.Microsecond)
			require.NoError(x.t, err)
		}
		defer x.w.end()
	}
	x.connect()
	if r.IntN(4) == 0 {
		faults := simulated.Rough()
		faults.Reset, x.resets = 0.01, true
		x.w.k.SetFaults(faults)
	}
	for range r.IntN(40) {
		x.step()
	}
	x.finish()
}

// connect connects the peers, joins their streams, and may do something before that.
func (x *relayTrial) connect() {
	x.w.k.SetFaults(simulated.Rough())
	o := session.StreamOptions{
		HighWater: 1 + x.r.IntN(20_000), ReadBufferLimit: 1 + x.r.IntN(20_000), CloseTimeout: time.Second,
	}
	o.LowWater = 1 + x.r.IntN(o.HighWater)
	if x.waits = x.r.IntN(4) > 0; x.waits {
		o.CloseTimeout = time.Hour
	}
	if x.r.IntN(3) == 0 {
		o.WriteBufferLimit = o.HighWater + x.r.IntN(100)
	}
	for i := range x.peers {
		h := &hooks{}
		p := x.w.peer(h, &session.ListenOptions{StreamOptions: o})
		x.until("OnOpen", func() bool { return h.opened })
		x.peers[i] = &relayPeer{Peer: p, s: h.s}
		if x.r.IntN(2) == 0 {
			x.send(i)
		}
		if x.r.IntN(2) == 0 {
			x.turn()
		}
	}
	require.NoError(x.t, session.Relay(x.peers[0].s, x.peers[1].s, &session.RelayOptions{OnDone: func(err error, s session.RelayStats) {
		x.done++
		x.err, x.stats = err, s
	}}), "seed %d", x.seed)
}

// send has a peer send bytes that tell where they belong.
func (x *relayTrial) send(i int) {
	p := x.peers[i]
	if p.finished || p.reset {
		return
	}
	b := make([]byte, 1+x.r.IntN(30_000))
	for k := range b {
		at := len(p.sent) + k
		b[k] = byte(at>>8) ^ byte(at)*7 ^ byte(i*128)
	}
	p.sent = append(p.sent, b...)
	p.Send(b)
}

// step does one thing.
func (x *relayTrial) step() {
	i := x.r.IntN(2)
	p := x.peers[i]
	switch k := x.r.IntN(100); {
	case k < 35:
		x.send(i)
	case k < 45:
		p.Stop(true)
	case k < 60:
		p.Stop(false)
	case k < 66:
		p.finished = true
		p.Finish()
	case k < 67:
		p.reset = true
		p.Reset()
	case k < 68:
		x.ended = true
		_ = p.s.Abort()
	case k < 69:
		x.ended = true
		_ = p.s.Close()
	default:
		for range 1 + x.r.IntN(20) {
			x.turn()
		}
	}
	x.check()
}

// check looks at what holds at any time.
func (x *relayTrial) check() {
	for i, p := range x.peers {
		from := x.peers[1-i]
		got := p.Received()
		require.True(x.t, bytes.HasPrefix(from.sent, got), "seed %d: peer %d got %d bytes that differ from what was sent", x.seed, i, len(got))
		if p.EOF() && !x.ended {
			require.True(x.t, from.finished && len(got) == len(from.sent),
				"seed %d: peer %d got EOF behind %d of %d bytes (finished: %v)", x.seed, i, len(got), len(from.sent), from.finished)
		}
	}
	require.LessOrEqual(x.t, x.done, 1, "seed %d: calls of OnDone", x.seed)
}

// finish has both peers read all and finish, or one of them reset, and waits for the end.
func (x *relayTrial) finish() {
	what := fmt.Sprintf("seed %d: the end", x.seed)
	if p := x.peers[0]; !p.finished && x.r.IntN(4) == 0 {
		p.reset = true
		p.Reset()
		for range x.r.IntN(20) {
			x.turn()
		}
	}
	for _, p := range x.peers {
		p.Stop(false)
	}
	for i, p := range x.peers {
		if other := x.peers[1-i]; other.finished && !other.reset && !p.reset {
			x.until(what+" of one direction", func() bool { return p.EOF() || p.Err() != nil || x.done > 0 })
		}
		if !p.reset {
			p.finished = true
			p.Finish()
		}
	}
	x.until(what, func() bool { return x.done > 0 })
	x.until(what+" of the peers", func() bool {
		for _, p := range x.peers {
			if !p.reset && !p.EOF() && p.Err() == nil {
				return false
			}
		}
		return true
	})
	x.check()
	if x.err == nil && !x.ended {
		for i, p := range x.peers {
			if !p.reset && !(x.resets && p.Err() != nil) { // a reset at the very end, when the kernel had everything
				require.Equal(x.t, len(x.peers[1-i].sent), p.Count(), "seed %d: bytes that peer %d got (%v)", x.seed, i, p.Err())
			}
		}
		require.Equal(x.t, session.RelayStats{FromA: uint64(len(x.peers[0].sent)), FromB: uint64(len(x.peers[1].sent))}, x.stats, "seed %d", x.seed)
	}
	for i, p := range x.peers {
		if other := x.peers[1-i]; p.reset && !other.reset && !x.resets && !x.ended && x.waits {
			require.Equal(x.t, p.s.Stats().BytesIn, other.s.Stats().BytesSent, "seed %d: what stream %d had received", x.seed, i)
		}
	}
}
