package tandem_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
)

// TestSimulatedPair has two Transports on one kernel talk to each other.
func TestSimulatedPair(t *testing.T) {
	for _, completions := range []bool{false, true} {
		for _, network := range []string{"tcp", "unix"} {
			k := simulated.New(simulated.Config{Seed: 3, Faults: simulated.Rough(), Completions: completions})
			server, err := tandem.Simulated(k, nil)
			require.NoError(t, err)
			client, err := tandem.Simulated(k, &tandem.Options{StreamOptions: tandem.StreamOptions{AllowHalfClose: true}})
			require.NoError(t, err)
			address := map[string]string{"tcp": "localhost:80", "unix": "a name"}[network]
			_, err = server.Listen(network, address, answerer{}, nil)
			require.NoError(t, err)
			h := &collector{}
			s, err := client.Connect(network, address, h, nil)
			require.NoError(t, err)
			message := make([]byte, 300_000)
			for i := range message {
				message[i] = byte(i * i >> 3)
			}
			_, err = s.Write(message)
			require.NoError(t, err)
			require.NoError(t, s.CloseWrite())
			require.NoError(t, k.Run(func() bool { return h.eof }, server, client))
			assert.Equal(t, message, h.got)
			require.NoError(t, client.Close())
			require.NoError(t, server.Close())
			assert.Zero(t, k.OpenDescriptors())
		}
	}
}

type answerer struct{ tandem.BaseHandler }

func (answerer) OnData(s *tandem.Stream) { _, _ = s.WriteTo(s) }

// collector keeps what comes.
type collector struct {
	tandem.BaseHandler
	got []byte
	eof bool
}

func (c *collector) OnData(s *tandem.Stream) {
	p, _ := s.Next(s.Buffered())
	c.got = append(c.got, p...)
}

func (c *collector) OnEOF(*tandem.Stream) { c.eof = true }

// TestSimulatedInABubble has timers of package time and those of a Stream come in their order.
func TestSimulatedInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := simulated.New(simulated.Config{Settle: synctest.Wait, Pass: time.Sleep})
		tr, err := tandem.Simulated(k, nil)
		require.NoError(t, err)
		c, peer, err := k.NewConn("tcp")
		require.NoError(t, err)
		s, err := tr.Adopt(c, answerer{})
		require.NoError(t, err)
		var mu sync.Mutex // guards order
		var order []string
		add := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			order = append(order, what)
		}
		all := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(order) == 3
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		context.AfterFunc(ctx, func() { add("context") })
		note := func(what string) func() {
			return func() {
				synctest.Wait()
				add(what)
			}
		}
		s.After(10*time.Millisecond, note("10 ms"))
		s.After(30*time.Millisecond, note("30 ms"))
		peer.Send([]byte("x"))
		require.NoError(t, k.Run(func() bool { return all() && peer.Count() == 1 }, tr))
		assert.Equal(t, []string{"10 ms", "context", "30 ms"}, order)
		require.NoError(t, tr.Close())
	})
}

func TestSimulatedRefuses(t *testing.T) {
	_, err := tandem.Simulated(nil, nil)
	require.Error(t, err)
	k := simulated.New(simulated.Config{})
	for _, o := range []tandem.Options{
		{Backend: tandem.Epoll}, {Uring: tandem.UringOptions{Entries: 8}}, {Affinity: []int{0}}, {Loops: 2},
	} {
		_, err := tandem.Simulated(k, &o)
		assert.Error(t, err)
	}
	tr, err := tandem.Simulated(k, nil)
	require.NoError(t, err)
	assert.Contains(t, tr.Info().String(), "simulated")
	_, err = tr.Info().Backend.MarshalText()
	assert.Error(t, err, "it cannot be asked for by name")
	_, err = tr.Dial(t.Context(), "tcp", "localhost:1", answerer{}, nil)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	require.NoError(t, tr.Close())
}
