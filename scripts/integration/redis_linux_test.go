package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// redisServer starts one with a port of its own, one for TLS and a Unix socket.
func redisServer(t *testing.T, id identity) (plain, secure, socket string) {
	t.Helper()
	dir := folder(t)
	host, port := freeAddress(t)
	secureHost, securePort := freeAddress(t)
	socket = filepath.Join(dir, "socket")
	conf := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, "bind %s %s\nport %s\nunixsocket %s\ndir %s\nsave \"\"\n"+
		"tls-port %s\ntls-cert-file %s\ntls-key-file %s\ntls-auth-clients no\nloglevel warning\n",
		host, secureHost, port, socket, dir, securePort, id.certFile, id.keyFile), 0o644))
	plain = net.JoinHostPort(host, port)
	start(t, exec.Command(tool(t, "redis-server"), conf), syscall.SIGTERM, "tcp", plain)
	return plain, net.JoinHostPort(secureHost, securePort), socket
}

// TestRedis has go-redis over DialConn use a Redis server, over TCP, TLS and a Unix socket.
func TestRedis(t *testing.T) {
	id := newIdentity(t)
	plain, secure, socket := redisServer(t, id)
	onBackends(t, func(t *testing.T, tr tandem.Transport) {
		dial := dialer(tr)
		for _, k := range []struct {
			network, address string
			dial             func(ctx context.Context, network, address string) (net.Conn, error)
		}{
			{"tcp", plain, dial},
			{"unix", socket, dial},
			{"tls", secure, func(ctx context.Context, _, address string) (net.Conn, error) {
				c, err := dial(ctx, "tcp", address)
				if err != nil {
					return nil, err
				}
				return tls.Client(c, id.trust.Clone()), nil
			}},
		} {
			t.Run(k.network, func(t *testing.T) {
				c := redis.NewClient(&redis.Options{
					Network: k.network, Addr: k.address, Dialer: k.dial, PoolSize: 8, PoolTimeout: patience,
					ReadTimeout: patience, WriteTimeout: patience, ContextTimeoutEnabled: true,
				})
				t.Cleanup(func() { assert.NoError(t, c.Close()) })
				require.NoError(t, c.FlushAll(t.Context()).Err())
				redisValues(t, c)
				redisPipelines(t, c)
				redisSubscriptions(t, c)
				redisQueues(t, c)
				redisPool(t, c)
			})
		}
	})
}

func redisValues(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	for _, size := range []int{0, 1, 4096, 65_537, len(large)} {
		require.NoError(t, c.Set(ctx, "value", large[:size], 0).Err())
		got, err := c.Get(ctx, "value").Bytes()
		require.NoError(t, err)
		sameBytes(t, large[:size], got, "a value")
		n, err := c.StrLen(ctx, "value").Result()
		require.NoError(t, err)
		require.EqualValues(t, size, n, "what the server has")
	}
	part, err := c.GetRange(ctx, "value", 1000, 1_000_999).Result()
	require.NoError(t, err)
	sameBytes(t, large[1000:1_001_000], []byte(part), "a part of a value")
	require.ErrorIs(t, c.Get(ctx, "nothing").Err(), redis.Nil)
	require.ErrorContains(t, c.Incr(ctx, "value").Err(), "not an integer")
}

// redisPipelines sends many commands before it reads an answer, in a transaction, too.
func redisPipelines(t *testing.T, c *redis.Client) {
	var all []*redis.StringCmd
	_, err := c.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for i := range 5000 {
			key := fmt.Sprintf("key-%d", i)
			p.Set(t.Context(), key, large[i:i+200], 0)
			all = append(all, p.Get(t.Context(), key))
		}
		return nil
	})
	require.NoError(t, err)
	for i, cmd := range all {
		got, err := cmd.Bytes()
		require.NoError(t, err)
		sameBytes(t, large[i:i+200], got, "an answer of a pipeline")
	}
	commands, err := c.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		for range 1000 {
			p.Incr(t.Context(), "counter")
		}
		return nil
	})
	require.NoError(t, err)
	for i, cmd := range commands {
		require.EqualValues(t, i+1, cmd.(*redis.IntCmd).Val())
	}
}

func redisSubscriptions(t *testing.T, c *redis.Client) {
	s := c.Subscribe(t.Context(), "channel")
	defer s.Close()
	_, err := s.Receive(t.Context()) // that it has begun
	require.NoError(t, err)
	const n = 2000
	go func() {
		for i := range n {
			assert.NoError(t, c.Publish(t.Context(), "channel", large[i:i+100]).Err())
		}
	}()
	messages := s.Channel(redis.WithChannelSize(n))
	for i := range n {
		m := receive(t, "a message", messages)
		require.Equal(t, "channel", m.Channel)
		sameBytes(t, large[i:i+100], []byte(m.Payload), "a message")
	}
	require.NoError(t, s.Unsubscribe(t.Context(), "channel"))
}

// redisQueues has clients wait for what others push, and for nothing.
func redisQueues(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	var mu sync.Mutex
	var all sync.WaitGroup
	got := map[string]int{}
	for range 4 {
		all.Go(func() {
			for {
				v, err := c.BLPop(ctx, patience, "queue").Result()
				if !assert.NoError(t, err) || v[1] == "end" {
					return
				}
				mu.Lock()
				got[v[1]]++
				mu.Unlock()
			}
		})
	}
	for i := range 500 {
		require.NoError(t, c.RPush(ctx, "queue", fmt.Sprint(i)).Err())
	}
	require.NoError(t, c.RPush(ctx, "queue", "end", "end", "end", "end").Err())
	all.Wait()
	require.Len(t, got, 500)
	for v, times := range got {
		require.Equal(t, 1, times, v)
	}
	require.ErrorIs(t, c.BLPop(ctx, time.Second, "queue").Err(), redis.Nil, "the server's time is over")
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	err := c.BLPop(short, 0, "queue").Err()
	require.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded), "the client's time is over: %v", err)
}

// redisPool has more goroutines than connections, and connections that the server closes.
func redisPool(t *testing.T, c *redis.Client) {
	ctx := t.Context()
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for j := range 40 {
				v := fmt.Sprintf("%d of %d", j, i)
				got, err := c.Echo(ctx, v).Result()
				assert.NoError(t, err)
				assert.Equal(t, v, got)
			}
		})
	}
	all.Wait()
	s := c.PoolStats()
	require.LessOrEqual(t, s.TotalConns, uint32(8))
	require.Positive(t, s.Hits)
	require.NoError(t, c.Do(ctx, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Err())
	for range 20 { // on connections that have ended, which the pool finds out by a look at the socket
		require.NoError(t, c.Ping(ctx).Err())
	}
}
