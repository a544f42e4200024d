package tandem_test

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// numbersOf reads messages of size bytes, each of which begins with its number, until one with that number has come.
func numbersOf(t *testing.T, c net.Conn, size int, last uint32) (all []uint32) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, size)
	for len(all) == 0 || all[len(all)-1] != last {
		_, err := io.ReadFull(c, b)
		require.NoError(t, err, "behind %d messages", len(all))
		all = append(all, binary.BigEndian.Uint32(b))
	}
	return all
}

// TestSlowSubscribers has a subscriber read nothing while many messages are published: what waits for it is bounded, and what
// it gets is in order.
func TestSlowSubscribers(t *testing.T) {
	const size, messages, keep = 16 << 10, 2000, 5
	for name, policy := range map[string]slowPolicy{"skip": skip, "drop oldest": dropOldest, "disconnect": disconnect} {
		t.Run(name, func(t *testing.T) {
			backends(t, func(t *testing.T, b tandem.Backend) {
				tr := openOrSkip(t, &tandem.Options{Backend: b, Loops: 2, Logger: slog.New(slog.DiscardHandler)})
				news := &topic{slow: policy, keep: keep, subscribers: map[*tandem.Stream]*subscriber{}}
				l, err := tr.Listen("tcp", "127.0.0.1:0", news, nil)
				require.NoError(t, err)
				slow, err := net.Dial("tcp", l.Addr().String())
				require.NoError(t, err)
				defer slow.Close()
				var s *tandem.Stream
				require.Eventually(t, func() bool {
					news.mu.Lock()
					defer news.mu.Unlock()
					for s = range news.subscribers {
					}
					return s != nil
				}, 10*time.Second, time.Millisecond, "no subscriber")
				publish := func(i int) {
					p := make([]byte, size)
					binary.BigEndian.PutUint32(p, uint32(i))
					news.publish(tandem.NewBuffer(tr, p))
				}
				for i := range messages {
					publish(i)
					require.LessOrEqual(t, s.Queued(), 128<<10+size, "bytes that are queued for it")
				}
				if policy == disconnect {
					_, err := io.Copy(io.Discard, slow)
					require.Error(t, err, "it gets a reset")
					return
				}
				if policy == skip {
					go func() { // until it takes one again
						for range 1000 {
							publish(messages)
							time.Sleep(time.Millisecond) // it reads meanwhile
						}
					}()
				}
				last := uint32(messages)
				if policy == dropOldest {
					last--
				}
				got := numbersOf(t, slow, size, last)
				assert.Less(t, len(got), messages, "it has lost some")
				assert.IsIncreasing(t, got)
				if policy == dropOldest {
					assert.Equal(t, []uint32{messages - 5, messages - 4, messages - 3, messages - 2, messages - 1}, got[len(got)-keep:])
				}
			})
		})
	}
}
