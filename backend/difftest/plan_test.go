package difftest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWriteThatRacesWithTheEndIsLeftOut has a stream read on in the callback that writes, when its peer is gone: the kernel
// chooses whether the failed write or the end of the peer's bytes comes first. A write that is not preceded by that fails.
func TestWriteThatRacesWithTheEndIsLeftOut(t *testing.T) {
	for _, resumes := range []bool{true, false} {
		p := Program{Streams: []Config{{Unix: true}}, Ops: []Op{{Kind: Pause, Place: InPost}, {Kind: PeerReset}}}
		if resumes {
			p.Ops = append(p.Ops, Op{Kind: Resume, Place: InPost, With: true})
		}
		p.Ops = append(p.Ops, Op{Kind: Write, Place: InPost, With: resumes, Arg: 2})
		writes := 0
		for _, s := range plan(p).steps {
			for _, a := range s.ops {
				if a.Kind == Write {
					writes++
				}
			}
		}
		require.Equal(t, !resumes, writes == 1)
	}
}

// TestFailedWriteDeliversWhatTheStreamMayHold has a paused stream have more than its limit when a write fails: how much it took
// from the kernel, and so how much is delivered beyond the limit, depends on the size of its receives.
func TestFailedWriteDeliversWhatTheStreamMayHold(t *testing.T) {
	for _, limit := range []int{4096, 0} {
		p := Program{Streams: []Config{{Unix: true, ReadLimit: limit}}, Ops: []Op{
			{Kind: Pause, Place: InPost}, {Kind: PeerWrite, Arg: 9}, {Kind: PeerReset}, {Kind: Write, Place: InPost, Arg: 2},
		}}
		require.Equal(t, limit > 0, plan(p).loose[0].in)
	}
}
