package modeltest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOne(t *testing.T) {
	p := Program{
		Seed: 0, Completions: false, Loops: 2, Faults: 0, Buffers: 0, Files: 0, Options: 0, HalfClose: false,
		ReadBlocked: false, MaxConns: 0, Reject: false, Memory: 0, Balance: 0, Reads: 0, End: 0,
		Ops: []Op{
			{"Listen", 0, "", 0, 0},
			{"PeerDial", 0, "", 0, 0},
			{"Turns", 0, "", 0, 4},
			{"Adopt", 0, "", 0, 0},
			{"Idle", 0, "post", 0, 1},
			{"Writev", 0, "open", 0, 1},
		},
	}
	require.NoError(t, run(t, p))
}
