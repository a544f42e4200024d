//go:build linux

package uring

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/drivertest"
)

// Bytes of a stream that has spent its share of the turn come before the end of its release.
func TestReleaseBehindPostponedBytes(t *testing.T) {
	forEachRung(t, Config{Buffers: 8, BufferSize: 64}, func(t *testing.T, d *Driver) {
		o, peer := attach(t, d)
		o.Spent = true
		want := "postponed, and not lost"
		drivertest.Send(t, peer, []byte(want))
		until(t, d, func() bool { return !d.later.empty() })
		require.Empty(t, o.Got, "it was not postponed")
		release(t, d, o)
		assert.Equal(t, want, string(o.Got))
	})
}

// If a callback fills the submission queue, completions have to wait outside of their queue. They stay in order.
func TestSpillKeepsTheOrder(t *testing.T) {
	forEachRung(t, Config{Buffers: 64, BufferSize: 64}, func(t *testing.T, d *Driver) {
		first, peer := attach(t, d)
		second, other := attach(t, d)
		want, sent, spilled := make([]byte, 1600), 0, 0
		for i := range want {
			want[i] = byte(i/64 + i)
		}
		piece := func() {
			if sent < len(want) {
				drivertest.Send(t, peer, want[sent:sent+160])
				drivertest.Send(t, other, want[sent:sent+160])
				sent += 160
			}
		}
		for _, o := range []*drivertest.Recorder{first, second} {
			o.OnBytes = func(p []byte) {
				o.Got = append(o.Got, p...)
				piece() // comes while room is being made
				d.spill()
				spilled = max(spilled, len(d.later.fresh))
			}
		}
		piece()
		piece()
		until(t, d, func() bool { return len(first.Got) == len(want) && len(second.Got) == len(want) })
		assert.True(t, bytes.Equal(want, first.Got), "the bytes differ")
		assert.True(t, bytes.Equal(want, second.Got), "the bytes differ")
		assert.NotZero(t, spilled, "no completion had to wait, so nothing was tested")
		d.Release(&first.Socket)
		until(t, d, func() bool { return first.Gone })
		release(t, d, second)
	})
}
