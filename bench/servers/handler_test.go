//go:build linux

package servers

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/workload"
)

func u64Frame(payload string) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, uint64(len(payload))), payload...)
}

// TestFrameBufferInEveryCut cuts three frames into pieces in every way that two cuts can.
func TestFrameBufferInEveryCut(t *testing.T) {
	all := slices.Concat(u64Frame("first"), u64Frame(""), u64Frame("the third"))
	for i := range len(all) + 1 {
		for j := i; j <= len(all); j++ {
			var b frameBuffer
			var got [][]byte
			for _, piece := range [][]byte{all[:i], all[i:j], all[j:]} {
				err := b.take(slices.Clone(piece), func(f []byte) error {
					got = append(got, slices.Clone(f))
					return nil
				})
				require.NoError(t, err)
			}
			require.Len(t, got, 3, "cut at %d and %d", i, j)
			require.Equal(t, all, slices.Concat(got...), "cut at %d and %d", i, j)
			require.Empty(t, b.rest, "cut at %d and %d", i, j)
		}
	}
}

func TestFrameBufferRefuses(t *testing.T) {
	var b frameBuffer
	huge := binary.LittleEndian.AppendUint64(nil, workload.FrameLimit+1)
	assert.Error(t, b.take(huge, func([]byte) error { return nil }), "a frame that is too long")
	failed := errors.New("failed")
	assert.ErrorIs(t, b.take(u64Frame("x"), func([]byte) error { return failed }), failed)
}

func TestMembers(t *testing.T) {
	var m members[int]
	var running sync.WaitGroup
	for i := range 50 {
		running.Go(func() {
			m.join(i)
			assert.Contains(t, m.all(), i, "it has joined")
			if i%2 == 0 {
				m.leave(i)
			}
		})
	}
	running.Wait()
	all := slices.Sorted(slices.Values(m.all()))
	assert.Len(t, all, 25)
	assert.False(t, slices.ContainsFunc(all, func(i int) bool { return i%2 == 0 }), "the even ones have left: %v", all)
}

type recorder struct{ got []byte }

func (r *recorder) answer(p *[]byte) {
	r.got = append(r.got, *p...)
	giveBytes(p)
}

// TestWorkersKeepTheOrderOfAConnection also shows that the bytes handed over may be used again at once.
func TestWorkersKeepTheOrderOfAConnection(t *testing.T) {
	w := startWorkers()
	conns := make([]recorder, 5)
	piece := make([]byte, 2)
	var want []byte
	for n := range 1000 {
		binary.BigEndian.PutUint16(piece, uint16(n))
		want = append(want, piece...)
		for i := range conns {
			w.hand(uint64(i), &conns[i], piece)
		}
	}
	w.stop()
	for i := range conns {
		assert.Equal(t, want, conns[i].got, "connection %d", i)
	}
}
