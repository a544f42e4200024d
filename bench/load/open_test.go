//go:build linux

package load

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
	if err != nil {
		t.Fatal(err)
	}
	h := decodeLatency(t, r)
	if p99 := time.Duration(h.ValueAtPercentile(99)); p99 < pause*9/10 {
		t.Errorf("p99 is %v, and the server stopped for %v", p99, pause)
	}
	slow := int64(0)
	for _, bar := range h.Distribution() {
		if bar.From >= int64(pause/2) {
			slow += bar.Count
		}
	}
	if slow < 45 { // of 50 that were due in the first half of the stop
		t.Errorf("%d messages took more than half the stop, want about 50", slow)
	}
	if h.TotalCount() != r.Messages+r.Late {
		t.Errorf("%d latencies of %d messages and %d late ones", h.TotalCount(), r.Messages, r.Late)
	}
	// No message is forgotten: all that were due in the window are there.
	if due := int64(r.Window.Seconds() * rate); r.Messages+r.Late < due-1 {
		t.Errorf("%d messages and %d late ones, and %d were due", r.Messages, r.Late, due)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	defer g.close()
	if err := g.traffic.begin(g.now()); err != nil {
		t.Fatal(err)
	}
	m, err := g.mark()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.loop(m.began + window); err != nil {
		t.Fatal(err)
	}
	s, err := g.since(m)
	if err != nil {
		t.Fatal(err)
	}
	if s.Messages != 0 || s.Late < 200 {
		t.Errorf("%d messages and %d late ones, want 0 and 200", s.Messages, s.Late)
	}
	if p50 := time.Duration(decodeLatency(t, s).ValueAtPercentile(50)); p50 < window/2*9/10 {
		t.Errorf("p50 of what was never answered is %v", p50)
	}
	// The server goes on, and every answer is there and right.
	if err := g.traffic.drain(); err != nil {
		t.Fatal(err)
	}
	if err := g.loop(-1); err != nil {
		t.Fatal(err)
	}
	if left := g.traffic.(*openTraffic).owing; left != 0 {
		t.Errorf("%d connections are owed answers", left)
	}
}

func TestDueTimesDoNotDrift(t *testing.T) {
	tr := &openTraffic{interval: float64(time.Second) / 30_000, origin: time.Second}
	for _, c := range []struct {
		number uint64
		want   time.Duration
	}{{0, time.Second}, {30_000, 2 * time.Second}, {30_000 * 3600, 3601 * time.Second}} {
		if got := tr.dueAt(c.number); max(got-c.want, c.want-got) > time.Microsecond {
			t.Errorf("message %d is due at %v, want %v", c.number, got, c.want)
		}
	}
}
