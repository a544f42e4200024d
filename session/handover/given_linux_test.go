package handover

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestGivenBeforeTheEnd has the old process let go of a connection, and the conversation end before the new process has heard
// of that. Nobody else has the connection by then.
func TestGivenBeforeTheEnd(t *testing.T) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, ends := range map[string]func(a *actor) context.Context{
		"the old process is gone": func(a *actor) context.Context { a.ch.close(); return timed(a.T) },
		"the context has ended":   func(*actor) context.Context { return ended },
	} {
		t.Run(name, func(t *testing.T) {
			balanced(t, func(t *testing.T) {
				k, a := taker(t, nil)
				ours, peer := sockets(t)
				fd, err := duplicate(ours)
				require.NoError(t, err)
				result := make(chan error, 1)
				go func() { _, err := k.Next(timed(t)); result <- err }()
				a.raw(encode(1, newConn("c", nil, nil, nil, 0), 1), fd)
				a.raw(encode(2, &State{Name: "s"}, 0))
				a.hears(kindTaken)
				a.hears(kindTaken)
				a.say(header{kind: kindYours, number: 2})
				require.NoError(t, await(t, result))
				a.raw(encode(3, newConn("another", nil, nil, nil, 0), 1), fd)
				a.say(header{kind: kindYours, number: 1})
				require.NoError(t, unix.Close(fd))
				require.NoError(t, ours.Close())

				ctx := ends(a)
				item, err := k.Next(ctx)
				require.NoError(t, err, "the connection is lost")
				c := item.(*Conn)
				assert.Equal(t, "c", c.Name)
				_, err = c.File().Write([]byte("here"))
				require.NoError(t, err)
				p := make([]byte, 4)
				_, err = peer.Read(p)
				require.NoError(t, err)
				assert.Equal(t, "here", string(p))
				require.NoError(t, c.Close())
				_, err = k.Next(ctx)
				require.Error(t, err)
				if ctx.Err() != nil {
					assert.ErrorIs(t, err, context.Canceled)
					_, err = a.ch.conn.Write([]byte{0})
					assert.ErrorIs(t, err, unix.EPIPE, "what the old process says later is not heard, and it knows")
				}
			})
		})
	}
}
