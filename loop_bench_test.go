//go:build linux

package tandem_test

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// BenchmarkLoopPost is the time from Post of a loop until the function runs, beside that from a send to a goroutine that
// waits for a channel; p50-ns is the one in the middle. Everybody sleeps before a post. The poster then waits, so that the
// scheduler may run a goroutine in its place, on the same thread; or it is busy, so that another thread has to wake. A
// channel to a goroutine that has a thread to itself, as a loop on io_uring has, is the third.
func BenchmarkLoopPost(b *testing.B) {
	for _, busy := range []bool{false, true} {
		name := map[bool]string{false: "waits", true: "busy"}[busy]
		for _, locked := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/channel/thread=%v", name, locked), func(b *testing.B) {
				jobs := make(chan func())
				defer close(jobs)
				go func() {
					if locked {
						runtime.LockOSThread()
					}
					for fn := range jobs {
						fn()
					}
				}()
				benchmarkPost(b, busy, func(fn func()) { jobs <- fn })
			})
		}
		for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
			for _, spin := range []time.Duration{0, time.Millisecond} {
				b.Run(fmt.Sprintf("%s/%v/spin=%v", name, on, spin), func(b *testing.B) {
					t, err := tandem.Open(&tandem.Options{Backend: on, Loops: 1, Spin: spin, Logger: slog.New(slog.DiscardHandler)})
					if err != nil {
						b.Skipf("NOT MEASURED: %v", err)
					}
					defer t.Close()
					l := t.Loop(0)
					benchmarkPost(b, busy, func(fn func()) { require.NoError(b, l.Post(fn)) })
				})
			}
		}
	}
}

func benchmarkPost(b *testing.B, busy bool, post func(func())) {
	lags := make([]time.Duration, 0, 1<<20)
	var posted time.Time
	var ran atomic.Bool
	wake := make(chan struct{}, 1)
	fn := func() {
		lags = append(lags, time.Since(posted))
		if ran.Store(true); !busy {
			wake <- struct{}{}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		time.Sleep(100 * time.Microsecond) // so that a loop with nothing to do is asleep
		ran.Store(false)
		posted = time.Now()
		post(fn)
		if !busy {
			<-wake
		}
		for !ran.Load() {
		}
	}
	reportLags(b, lags)
}

func reportLags(b *testing.B, lags []time.Duration) {
	slices.Sort(lags)
	b.ReportMetric(float64(lags[len(lags)/2]), "p50-ns")
	b.ReportMetric(float64(lags[len(lags)*9/10]), "p90-ns")
}

// BenchmarkLoopPostMany is what it costs to give a loop a function, when many are given one after another, beside a channel
// with room for them.
func BenchmarkLoopPostMany(b *testing.B) {
	const batch = 1000
	run := func(b *testing.B, post func(func())) {
		n, done := 0, make(chan struct{})
		fn := func() {
			if n++; n%batch == 0 {
				done <- struct{}{}
			}
		}
		b.ReportAllocs()
		for b.Loop() {
			for range batch {
				post(fn)
			}
			<-done
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/post")
	}
	b.Run("channel", func(b *testing.B) {
		jobs := make(chan func(), batch)
		defer close(jobs)
		go func() {
			for fn := range jobs {
				fn()
			}
		}()
		run(b, func(fn func()) { jobs <- fn })
	})
	for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		b.Run(on.String(), func(b *testing.B) {
			t, err := tandem.Open(&tandem.Options{Backend: on, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Skipf("NOT MEASURED: %v", err)
			}
			defer t.Close()
			l := t.Loop(0)
			run(b, func(fn func()) { require.NoError(b, l.Post(fn)) })
		})
	}
}

// resumed tells when its data comes.
type resumed struct {
	takes
	came chan time.Time
}

func (h resumed) OnData(s *tandem.Stream) {
	_, _ = s.Next(-1)
	h.came <- time.Now()
}

// BenchmarkResume is the time from ResumeRead on another goroutine until OnData has the byte that waits, on a loop that sleeps.
func BenchmarkResume(b *testing.B) {
	for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		b.Run(on.String(), func(b *testing.B) {
			t, err := tandem.Open(&tandem.Options{Backend: on, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Skipf("NOT MEASURED: %v", err)
			}
			defer t.Close()
			h := resumed{takes{opened: make(chan *tandem.Stream, 1)}, make(chan time.Time, 1)}
			l, err := t.Listen("tcp", "127.0.0.1:0", h, nil)
			require.NoError(b, err)
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(b, err)
			defer c.Close()
			s := <-h.opened
			var lags []time.Duration
			for b.Loop() {
				s.PauseRead()
				time.Sleep(100 * time.Microsecond) // so that the loop has stopped to receive
				_, err = c.Write([]byte("x"))
				require.NoError(b, err)
				time.Sleep(100 * time.Microsecond) // so that the byte is there, and the loop asleep
				resume := time.Now()
				s.ResumeRead()
				lags = append(lags, (<-h.came).Sub(resume))
			}
			reportLags(b, lags)
		})
	}
}
