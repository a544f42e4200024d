//go:build linux

package tandem_test

import (
	"log/slog"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// BenchmarkLoopPost is the time from Post of a loop that sleeps until the function runs, in the middle of all, beside that
// of a channel to a goroutine that waits. Between two posts there is a pause, so that everybody sleeps; or the poster waits
// for nothing but the function, as in a ping-pong.
func BenchmarkLoopPost(b *testing.B) {
	for _, pause := range []time.Duration{0, 200 * time.Microsecond} {
		name := "ping-pong"
		if pause > 0 {
			name = "rested"
		}
		b.Run(name+"/channel", func(b *testing.B) {
			jobs := make(chan func())
			defer close(jobs)
			go func() {
				for fn := range jobs {
					fn()
				}
			}()
			benchmarkPost(b, pause, func(fn func()) { jobs <- fn })
		})
		b.Run(name+"/channel-threads", func(b *testing.B) {
			jobs := make(chan func())
			defer close(jobs)
			go func() {
				runtime.LockOSThread()
				for fn := range jobs {
					fn()
				}
			}()
			benchmarkPost(b, pause, func(fn func()) { jobs <- fn })
		})
		for _, on := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
			b.Run(name+"/"+on.String(), func(b *testing.B) {
				t, err := tandem.Open(&tandem.Options{Backend: on, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Skipf("NOT MEASURED: %v", err)
				}
				defer t.Close()
				l := t.Loop(0)
				benchmarkPost(b, pause, func(fn func()) { require.NoError(b, l.Post(fn)) })
			})
		}
	}
}

func benchmarkPost(b *testing.B, pause time.Duration, post func(func())) {
	ran := make(chan struct{}, 1)
	var posted time.Time
	lags := make([]time.Duration, 0, 1<<20)
	fn := func() {
		lags = append(lags, time.Since(posted))
		ran <- struct{}{}
	}
	b.ReportAllocs()
	for b.Loop() {
		if pause > 0 {
			time.Sleep(pause)
		}
		posted = time.Now()
		post(fn)
		<-ran
	}
	slices.Sort(lags)
	b.ReportMetric(float64(lags[len(lags)/2]), "p50-ns")
	b.ReportMetric(float64(lags[len(lags)*9/10]), "p90-ns")
}
