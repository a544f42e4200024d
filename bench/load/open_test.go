//go:build linux

package load

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

// pausingEcho echoes, and stops once for d, on all connections, when it has read so many bytes.
func pausingEcho(t *testing.T, after int64, d time.Duration) *net.TCPAddr {
	t.Helper()
	var (
		total atomic.Int64
		gate  sync.RWMutex
		once  sync.Once
	)
	return startEcho(t, func(_ int, c net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if total.Add(int64(n)) >= after {
				once.Do(func() {
					gate.Lock()
					time.Sleep(d)
					gate.Unlock()
				})
			}
			gate.RLock()
			_, err = c.Write(buf[:n])
			gate.RUnlock()
			if err != nil {
				return
			}
		}
	})
}

// TestAPauseIsSeenInEveryMessageThatWasDue: at 1000 messages per second, a stop of 100 ms delays 100 of the 500 in the
// window, by 50 ms on average. A client that waits for answers would see it in at most one message of each connection,
// four of many thousands.
func TestAPauseIsSeenInEveryMessageThatWasDue(t *testing.T) {
	const (
		pause = 100 * time.Millisecond
		rate  = 1000
	)
	config := Config{
		Workload: workload.Workload{Kind: workload.KindEcho, Conns: 4, Size: 64, Depth: 1, Rate: rate},
		Addr:     pausingEcho(t, 200*64, pause), // in the window, because message 200 is due after 200 ms
		Warmup:   10 * time.Millisecond, Window: 500 * time.Millisecond, Stall: time.Minute,
	}
	r, err := Run(config)
	require.NoError(t, err)
	h := decodeLatency(t, r)
	assert.GreaterOrEqual(t, time.Duration(h.ValueAtPercentile(99)), pause*9/10, "p99, and the server stopped for %v", pause)
	slow := int64(0)
	for _, bar := range h.Distribution() {
		if bar.From >= int64(pause/2) {
			slow += bar.Count
		}
	}
	// Of 50 that were due in the first half of the stop.
	assert.GreaterOrEqual(t, slow, int64(45), "messages that took more than half the stop")
	assert.Equal(t, r.Messages+r.Late, h.TotalCount(), "each message has a latency, late or not")
	// No message is forgotten: all that were due in the window are there.
	assert.GreaterOrEqual(t, r.Messages+r.Late, int64(r.Window.Seconds()*rate)-1)
}

// TestOverloadIsLate: a server that answers nothing until the window is over has all messages late, each with the time
// that it has waited so far.
func TestOverloadIsLate(t *testing.T) {
	const window = 200 * time.Millisecond
	config := Config{
		Workload: workload.Workload{Kind: workload.KindEcho, Conns: 2, Size: 64, Depth: 1, Rate: 1000},
		Addr:     pausingEcho(t, 1, window*3), Window: window, Stall: time.Minute,
	}
	g, err := newGenerator(config)
	require.NoError(t, err)
	defer g.close()
	require.NoError(t, g.traffic.begin(g.now()))
	m, err := g.mark()
	require.NoError(t, err)
	require.NoError(t, g.loop(m.began+window))
	s, err := g.since(m)
	require.NoError(t, err)
	assert.Zero(t, s.Messages)
	assert.GreaterOrEqual(t, s.Late, int64(200))
	assert.GreaterOrEqual(t, time.Duration(decodeLatency(t, s).ValueAtPercentile(50)), window/2*9/10, "p50 of what was never answered")
	// The server goes on, and every answer is there and right.
	require.NoError(t, g.traffic.drain())
	require.NoError(t, g.loop(-1))
	assert.Zero(t, g.traffic.(*openTraffic).owing, "connections that are owed answers")
}

func TestDueTimesDoNotDrift(t *testing.T) {
	tr := &openTraffic{interval: float64(time.Second) / 30_000, origin: time.Second}
	for _, c := range []struct {
		number uint64
		want   time.Duration
	}{{0, time.Second}, {30_000, 2 * time.Second}, {30_000 * 3600, 3601 * time.Second}} {
		assert.InDelta(t, c.want, tr.dueAt(c.number), float64(time.Microsecond), "message %d", c.number)
	}
}
