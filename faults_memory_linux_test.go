package tandem_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// TestFaultLockedMemory opens Transports as an ordinary user who may lock little memory.
func TestFaultLockedMemory(t *testing.T) {
	t.Parallel()
	asRoot(t)
	for name, k := range map[string]struct {
		limit uint64 // KiB
		loops int
		runs  bool // io_uring does
	}{
		"none":                 {0, 1, false},
		"too little":           {64, 1, false},
		"enough for few":       {1 << 10, 2, true},
		"small rings for many": {512, 8, true},
		"too little for many":  {512, 64, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process{}.run(t, func(t *testing.T) {
				uring := silent(tandem.Uring)
				_ = openOrSkip(t, &uring).Close()
				user := 3_000_000 + os.Getpid()
				require.NoError(t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: k.limit << 10, Max: k.limit << 10}))
				require.NoError(t, syscall.Setgid(user))
				require.NoError(t, syscall.Setuid(user))
				testLockedMemory(t, k.loops, k.runs)
			})
		})
	}
}

// testLockedMemory opens each backend, and then talks over every loop.
func testLockedMemory(t *testing.T, loops int, runs bool) {
	for _, b := range []tandem.Backend{tandem.Uring, tandem.Auto, tandem.Epoll} {
		o := silent(b)
		o.Loops = loops
		files, began := openFiles(), time.Now()
		tr, err := tandem.Open(&o)
		assert.Less(t, time.Since(began), patience, "the time that Open takes")
		if b == tandem.Uring && !runs {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			for _, part := range []string{"locked memory", fmt.Sprintf("%d loops", loops), "ulimit -l", "LimitMEMLOCK"} {
				assert.ErrorContains(t, err, part)
			}
			becomes(t, func() bool { return openFiles() <= files }, "%d descriptors", files)
			continue
		}
		require.NoError(t, err, "%v with %d loops", b, loops)
		i := tr.Info()
		switch {
		case b == tandem.Epoll || !runs:
			assert.Equal(t, tandem.Epoll, i.Backend)
		default:
			assert.Equal(t, tandem.Uring, i.Backend)
			if loops == 8 {
				assert.Contains(t, strings.Join(i.Features, ", "), "locked memory is short")
			}
		}
		if b == tandem.Auto && !runs {
			assert.Contains(t, i.Reason, "locked memory")
			assert.Contains(t, i.Reason, "ulimit -l")
		}
		for range loops {
			talk(t, tr)
		}
		require.NoError(t, tr.Close())
		becomes(t, func() bool { return openFiles() <= files+2 }, "%d descriptors", files) // Go's poller has two
	}
}

const (
	groupLimit  = 448 << 20 // bytes of memory that the process of a group may have
	groupSilent = 600       // streams that read nothing: each could have 1 MiB
	groupEchoes = 60        // streams that echo to peers that read nothing
	groupUnread = 16 << 20  // Options.MemoryLimit
	groupEnv    = "TANDEM_TEST_GROUP"
)

// memoryGroup makes a control group with limited memory, in the hierarchy of either version, and returns its directory:
// cgroups(7). Where nobody may, the test is skipped.
func memoryGroup(t *testing.T) string {
	t.Helper()
	for _, v := range []struct{ root, limit string }{
		{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
	} {
		if _, err := os.Stat(v.root + "/cgroup.procs"); err != nil {
			continue // no hierarchy
		}
		_ = set(v.root+"/cgroup.subtree_control", "+memory")
		dir := filepath.Join(v.root, "tandem-test-"+strconv.Itoa(os.Getpid())+"-"+filepath.Base(t.Name()))
		if os.Mkdir(dir, 0o700) != nil {
			continue
		}
		t.Cleanup(func() {
			assert.True(t, eventually(func() bool { return os.Remove(dir) == nil }), "%s cannot be removed", dir)
		})
		if set(dir+"/"+v.limit, strconv.Itoa(groupLimit)) == nil {
			_ = set(dir+"/memory.swap.max", "0")
			return dir
		}
	}
	t.Skip("NOT TESTED: this machine lets nobody make a control group with limited memory")
	return ""
}

// set writes to a file that there is.
func set(file, value string) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(value)
	return err
}

// TestFaultLittleMemory has hundreds of peers send and read nothing, while the process may have little memory. If
// MemoryLimit and HighWater did not hold, the kernel would kill it. Other streams go on.
func TestFaultLittleMemory(t *testing.T) {
	t.Parallel()
	asRoot(t)
	production(t, func(t *testing.T, b tandem.Backend) {
		t.Parallel()
		p := process{}
		if os.Getenv(sandboxEnv) == "" {
			p.env = []string{groupEnv + "=" + memoryGroup(t)}
		}
		p.run(t, func(t *testing.T) {
			o := silent(b)
			_ = openOrSkip(t, &o).Close()
			testLittleMemory(t, b)
		})
	})
}

func testLittleMemory(t *testing.T, b tandem.Backend) {
	flood := startProcess(t, "TestFloodProcess", b) // outside the group
	peer := startProcess(t, "TestPeerProcess", b)
	require.NoError(t, set(os.Getenv(groupEnv)+"/cgroup.procs", "0"))
	files := openFiles()
	o := silent(b)
	o.MemoryLimit = groupUnread
	tr, err := tandem.Open(&o)
	require.NoError(t, err)
	var echoes atomic.Int64
	addresses := []string{}
	for _, h := range []tandem.Handler{leaving{}, counting{n: &echoes}} {
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		addresses = append(addresses, l.Addr().String())
	}
	for i, n := range []int{groupSilent, groupEchoes} {
		for range n / groupEchoes {
			flood.tell("flood %s %d", addresses[i], groupEchoes)
			word, rest := flood.answer()
			require.Equal(t, "flooding", word, rest)
		}
	}
	becomes(t, func() bool { return held(tr) > groupUnread/2 && echoes.Load() > groupEchoes*64<<10 }, "memory taken up")
	for range 5 { // while all of them send
		peer.tell("connect %s", addresses[1])
		word, rest := peer.answer()
		assert.Equal(t, "echoed", word, rest)
		assert.LessOrEqual(t, held(tr), int64(groupUnread+(groupSilent+groupEchoes)*(256<<10)), "bytes that all streams hold unread")
		time.Sleep(during / 3)
	}
	assert.Equal(t, groupSilent+groupEchoes+5, tr.Stats().Streams, "streams that live")
	nothingLeft(t, tr, files)
}

// held is how many bytes streams hold unread.
func held(tr tandem.Transport) int64 {
	s := tr.Stats()
	return int64(s.BytesIn - s.BytesDelivered - s.BytesDropped)
}

// counting echoes, and counts bytes.
type counting struct {
	echoHandler
	n *atomic.Int64
}

func (h counting) OnData(s *tandem.Stream) {
	h.n.Add(int64(s.Buffered()))
	h.echoHandler.OnData(s)
}
