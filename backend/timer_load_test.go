package backend

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTimerAllocs(t *testing.T) {
	l := newTimerLoad(new(Timers), 1000, time.Second)
	run := func() {
		for range 1000 {
			l.restart()
		}
		for range 100 {
			l.expire()
		}
	}
	for range 100 {
		run()
	}
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// heapTimers is what Timers would be as one heap, for comparison.
type heapTimers struct {
	heap timerHeap
	seq  uint64
}

func (q *heapTimers) Start(t *Timer, when int64) {
	q.Stop(t)
	q.seq++
	t.when, t.seq, t.state = when, q.seq, timerNear
	q.heap.push(t)
}

func (q *heapTimers) Stop(t *Timer) bool {
	if t.state == timerIdle {
		return false
	}
	q.heap.remove(int(t.pos))
	t.state = timerIdle
	return true
}

func (q *heapTimers) Next() (int64, bool) {
	if len(q.heap) == 0 {
		return 0, false
	}
	return q.heap[0].when, true
}

func (q *heapTimers) Expire(now int64, _ func() bool) int {
	last, fired := q.seq, 0
	for len(q.heap) > 0 && q.heap[0].when <= now && q.heap[0].seq <= last {
		t := q.heap[0].t
		q.Stop(t)
		fired++
		t.Fire()
	}
	return fired
}

type timerQueue interface {
	Start(t *Timer, when int64)
	Stop(t *Timer) bool
	Next() (when int64, ok bool)
	Expire(now int64, spent func() bool) int
}

// timerLoad is a loop whose timers are always active: each starts itself again, for spread/2 to spread/2*3.
type timerLoad struct {
	q      timerQueue
	rand   *rand.Rand
	now    int64
	spread int64
	timers []Timer
}

func newTimerLoad(q timerQueue, n int, spread time.Duration) *timerLoad {
	l := &timerLoad{q: q, rand: rand.New(rand.NewPCG(1, 1)), spread: int64(spread), timers: make([]Timer, n)}
	q.Expire(0, never)
	for i := range l.timers {
		l.timers[i].Fire = func() { l.start(i) }
		l.start(i)
	}
	return l
}

func (l *timerLoad) start(i int) {
	l.q.Start(&l.timers[i], l.now+l.spread/2+l.rand.Int64N(l.spread))
}

// restart stops and starts any timer.
func (l *timerLoad) restart() {
	i := l.rand.IntN(len(l.timers))
	l.q.Stop(&l.timers[i])
	l.start(i)
}

// expire sleeps until Next, and returns how many fired.
func (l *timerLoad) expire() int {
	l.now, _ = l.q.Next()
	return l.q.Expire(l.now, never)
}

func BenchmarkTimers(b *testing.B) {
	const live = 100_000
	queues := []struct {
		name string
		make func() timerQueue
	}{
		{"wheel", func() timerQueue { return new(Timers) }},
		{"heap", func() timerQueue { return new(heapTimers) }},
	}
	for _, q := range queues {
		b.Run(q.name+"/same", func(b *testing.B) { benchmarkSame(b, newTimerLoad(q.make(), live, time.Minute)) })
		b.Run(q.name+"/restart", func(b *testing.B) { benchmarkRestart(b, newTimerLoad(q.make(), live, time.Minute)) })
		b.Run(q.name+"/expire", func(b *testing.B) { benchmarkExpire(b, newTimerLoad(q.make(), live, time.Minute)) })
	}
}

// One connection is busy and moves its idle timeout on.
func benchmarkSame(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for b.Loop() {
		l.q.Stop(&l.timers[0])
		l.start(0)
	}
}

// All connections are busy: one restart of any of them each microsecond, and a turn of the loop each 64.
func benchmarkRestart(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for turn := 0; b.Loop(); turn++ {
		l.restart()
		l.now += int64(time.Microsecond)
		if turn%64 == 0 {
			l.q.Next()
			l.q.Expire(l.now, never)
		}
	}
}

// No timer is ever stopped. An operation is one that fires and starts itself again.
func benchmarkExpire(b *testing.B, l *timerLoad) {
	b.ReportAllocs()
	for fired := 0; b.Loop(); {
		for fired == 0 {
			fired = l.expire()
		}
		fired--
	}
}
