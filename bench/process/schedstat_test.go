//go:build linux

package process

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestProcessCPUGrowsWithWork(t *testing.T) {
	before, err := CPU(os.Getpid())
	require.NoError(t, err)
	// Work until it shows, however fast the machine is.
	for i := 0; ; i++ {
		now, err := CPU(os.Getpid())
		require.NoError(t, err)
		ran := now.Minus(before)
		require.GreaterOrEqual(t, ran.Ran, time.Duration(0), "from %v to %v", before, now)
		require.GreaterOrEqual(t, ran.Waited, time.Duration(0), "from %v to %v", before, now)
		if ran.Ran > 10*time.Millisecond {
			return
		}
	}
}

func TestProcessCPUOfNobody(t *testing.T) {
	_, err := CPU(1 << 30)
	require.Error(t, err)
}

func TestParseSchedstat(t *testing.T) {
	d, err := parseSchedstat("123456789 42 7\n")
	require.NoError(t, err)
	assert.Equal(t, CPUTime{123456789, 42}, d)
	for _, text := range []string{"", "1 2", "1 2 3 4", "x 2 3", "1 x 3", "99999999999999999999 0 0"} {
		_, err := parseSchedstat(text)
		assert.Error(t, err, "%q", text)
	}
}
