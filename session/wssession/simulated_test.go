package wssession_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/frame/websocket"
	"github.com/tandem-io/tandem/session/wssession"
)

// world is a simulated kernel with a Transport.
func world(t *testing.T, c simulated.Config) (*simulated.Kernel, tandem.Transport) {
	t.Helper()
	k := simulated.New(c)
	tr, err := tandem.Simulated(k, nil)
	require.NoError(t, err)
	return k, tr
}

// configs are kernels of both kinds that cut and delay everything, for some seeds.
func configs(n uint64) (all []simulated.Config) {
	for seed := range n {
		all = append(all, simulated.Config{Seed: seed, Completions: seed%2 == 0, Faults: simulated.Rough()})
	}
	return all
}

// TestSimulatedPeers plays the cases of the suite, but the large ones, with every record cut and delayed.
func TestSimulatedPeers(t *testing.T) {
	var cases []sends
	for _, group := range [][]sends{pings(), reserved(), fragmentation(), characters(), closeHandshake()} {
		cases = append(cases, group...)
	}
	for _, config := range configs(6) {
		k, tr := world(t, config)
		address := listen(t, tr, echo{}, nil)
		for _, c := range cases {
			p, err := k.Dial("tcp", address)
			require.NoError(t, err)
			p.Send([]byte(asking("")))
			for _, piece := range c.pieces {
				p.Send(piece)
			}
			require.NoError(t, k.Run(p.EOF, tr), "seed %d, %s: %q", config.Seed, c.id, p.Received())
			_, frames, found := strings.Cut(string(p.Received()), "\r\n\r\n")
			require.True(t, found, c.id)
			require.Equal(t, c.want, parsed(t, frames), "seed %d, %s", config.Seed, c.id)
			p.Close()
		}
		require.NoError(t, k.Run(func() bool { return tr.Stats().Streams == 0 }, tr))
		require.NoError(t, tr.Close())
	}
}

// parsed are the messages in the bytes of a server.
func parsed(t *testing.T, frames string) []string {
	p := peer{r: bufio.NewReader(strings.NewReader(frames))}
	return p.all(t)
}

// TestSimulatedConns has a client and a server in one world: messages of all sizes, in fragments, compressed, with pings.
func TestSimulatedConns(t *testing.T) {
	for _, config := range configs(40) {
		k, tr := world(t, config)
		o := wssession.Options{Compression: config.Seed%3 == 0, CompressionThreshold: 10, Fragments: config.Seed%5 == 1}
		var ends []error
		tell := func(_ *wssession.Conn, err error) { ends = append(ends, err) }
		address := listen(t, tr, echo{closed: tell}, &wssession.ServerOptions{Options: o})
		o.Fragments = false
		var want, got []string
		pongs := 0
		h := &hooks{close: tell, pong: func(*wssession.Conn, []byte) { pongs++ }}
		h.open = func(c *wssession.Conn) {
			for i := range 12 {
				m := strings.Repeat(string(rune('a'+i)), i*i*i*7)
				want = append(want, m)
				if i%3 == 1 {
					require.NoError(t, c.Write(websocket.Message{Kind: websocket.Text, Data: []byte(m[:i]), More: true}))
					require.NoError(t, c.Ping([]byte(m[:1])))
					require.NoError(t, c.Write(websocket.Message{Kind: websocket.Text, Data: []byte(m[i:])}))
					continue
				}
				require.NoError(t, c.WriteText([]byte(m)))
			}
		}
		h.message = func(c *wssession.Conn, m websocket.Message) {
			if got = append(got, string(m.Data)); len(got) == len(want) {
				require.NoError(t, c.Close())
			}
		}
		_, err := wssession.Connect(tr, "ws://"+address, h, &wssession.DialOptions{Options: o})
		require.NoError(t, err)
		require.NoError(t, k.Run(func() bool { return len(ends) == 2 }, tr), "seed %d: %d messages", config.Seed, len(got))
		require.Equal(t, want, got, "seed %d", config.Seed)
		require.Equal(t, 4, pongs)
		for _, err := range ends {
			closedWith(t, 1000, "", err)
		}
		require.NoError(t, k.Run(func() bool { return tr.Stats().Streams == 0 }, tr))
		require.NoError(t, tr.Close())
	}
}

// TestSimulatedLiveness, of W02, pings every ten seconds, and ends a connection whose peer is silent for thirty.
func TestSimulatedLiveness(t *testing.T) {
	k, tr := world(t, simulated.Config{})
	var end error
	var ponged, closedAt time.Duration
	address := listen(t, tr, &hooks{
		open: func(c *wssession.Conn) {
			c.Stream().SetReadIdleTimeout(30 * time.Second)
			c.Stream().Every(10*time.Second, func() { _ = c.Ping(nil) })
		},
		pong:  func(*wssession.Conn, []byte) { ponged = k.Now() },
		close: func(_ *wssession.Conn, err error) { end, closedAt = err, k.Now() },
	}, nil)
	var client *wssession.Conn
	_, err := wssession.Connect(tr, "ws://"+address, &hooks{open: func(c *wssession.Conn) { client = c }}, nil)
	require.NoError(t, err)
	pass := func(d time.Duration) {
		for until := k.Now() + d; k.Now() < until; {
			_, err := tr.Poll(time.Second)
			require.NoError(t, err)
		}
	}
	pass(10 * time.Minute)
	require.NoError(t, end)
	require.NotNil(t, client)
	client.Stream().PauseRead() // it is there, and does not answer
	pass(45 * time.Second)
	require.ErrorIs(t, end, os.ErrDeadlineExceeded)
	require.InDelta(t, 30, (closedAt - ponged).Seconds(), 2)
	require.NoError(t, tr.Close())
}

// TestSimulatedDial is an error, because nobody would poll.
func TestSimulatedDial(t *testing.T) {
	_, tr := world(t, simulated.Config{})
	_, err := wssession.Dial(t.Context(), tr, "ws://"+listen(t, tr, echo{}, nil), &hooks{}, nil)
	require.Error(t, err)
	require.NoError(t, tr.Close())
}
