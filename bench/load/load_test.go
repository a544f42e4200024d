//go:build linux

package load

import (
	"io"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
	"golang.org/x/sys/unix"
)

// startEcho serves every connection with echo, until the test ends.
func startEcho(t *testing.T, echo func(i int, c net.Conn)) *net.TCPAddr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for i := 0; ; i++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				echo(i, c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().(*net.TCPAddr)
}

func smallLoad(a *net.TCPAddr) Config {
	return Config{
		Workload: workload.Workload{Kind: workload.KindEcho, Conns: 4, Size: 64, Depth: 3},
		Addr:     a,
		Warmup:   10 * time.Millisecond, Window: 50 * time.Millisecond, Stall: time.Minute,
	}
}

func decodeLatency(t *testing.T, s results.Sample) *hdrhistogram.Histogram {
	t.Helper()
	h, err := hdrhistogram.Decode([]byte(s.Latency))
	require.NoError(t, err, "decode %q", s.Latency)
	return h
}

func TestLoadOfAnHonestServer(t *testing.T) {
	addr := startEcho(t, func(_ int, c net.Conn) { _, _ = io.Copy(c, c) })
	for _, sizes := range [][3]int{{1, 1, 1}, {64, 64, 1}, {3, 100, 16}, {2, 1 << 20, 1}} {
		config := smallLoad(addr)
		config.Conns, config.Size, config.Depth = sizes[0], sizes[1], sizes[2]
		r, err := Run(config)
		require.NoError(t, err, sizes)
		assert.Positive(t, r.Messages, sizes)
		assert.Equal(t, r.Messages*int64(config.Size), r.Bytes, sizes)
		assert.GreaterOrEqual(t, r.Window, config.Window, sizes)
		assert.Equal(t, config.Workload, r.Workload)
		h := decodeLatency(t, r)
		assert.Equal(t, r.Messages, h.TotalCount(), "latencies of %v", sizes)
		assert.Positive(t, h.Min(), sizes)
	}
}

func TestLoadCatchesAFlippedByte(t *testing.T) {
	addr := startEcho(t, func(i int, c net.Conn) {
		buf := make([]byte, 4096)
		for total := 0; ; {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			const at = 3*64*10 + 64 + 5 // batch 10, its second message
			if i == 2 && total <= at && at < total+n {
				buf[at-total] ^= 0x40
			}
			total += n
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	_, err := Run(smallLoad(addr))
	var wrong *wrongByte
	require.ErrorAs(t, err, &wrong)
	assert.Equal(t, wrongByte{Conn: 2, Message: 31, Offset: 5, Got: wrong.Want ^ 0x40, Want: wrong.Want}, *wrong)
}

func TestLoadCatchesSwappedConnections(t *testing.T) {
	// Connections 0 and 1 get each other's bytes.
	pair := [2]chan net.Conn{make(chan net.Conn, 1), make(chan net.Conn, 1)}
	addr := startEcho(t, func(i int, c net.Conn) {
		to := io.Writer(c)
		if i < 2 {
			pair[i] <- c
			to = <-pair[1-i]
		}
		_, _ = io.Copy(to, c)
	})
	_, err := Run(smallLoad(addr))
	var wrong *wrongByte
	require.ErrorAs(t, err, &wrong)
	assert.LessOrEqual(t, wrong.Conn, 1)
}

func TestLoadCatchesMissingAndSurplusAnswers(t *testing.T) {
	wait := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		echo func(int, net.Conn)
		want string
	}{
		"silence": {func(i int, c net.Conn) {
			if i != 1 {
				_, _ = io.Copy(c, c)
			}
			wait(c)
		}, "stall: connection 1"},
		"a lost byte": {func(_ int, c net.Conn) {
			_, _ = io.CopyN(c, c, 3*64-1)
			wait(c)
		}, "stall: connection"},
		"a byte too many": {func(_ int, c net.Conn) {
			buf := make([]byte, 3*64+1)
			_, _ = io.ReadFull(c, buf[:3*64])
			_, _ = c.Write(buf)
			wait(c)
		}, "connection"}, // too many, or a wrong first byte of the next batch
		"a closed connection": {func(_ int, c net.Conn) {
			_, _ = io.CopyN(c, c, 3*64*5)
		}, "connection"},
	} {
		t.Run(name, func(t *testing.T) {
			config := smallLoad(startEcho(t, c.echo))
			config.Stall = 300 * time.Millisecond
			_, err := Run(config)
			assert.ErrorContains(t, err, c.want)
		})
	}
}

func TestLoadOfNobody(t *testing.T) {
	// A port that is taken and on which nobody listens.
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := unix.Getsockname(fd)
	require.NoError(t, err)
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}
	_, err = Run(smallLoad(addr))
	assert.ErrorIs(t, err, unix.ECONNREFUSED)
}

func TestLoadConfigCheck(t *testing.T) {
	good := smallLoad(nil)
	require.NoError(t, good.Check())
	for name, spoil := range map[string]func(*Config){
		"no connections":     func(c *Config) { c.Conns = 0 },
		"no size":            func(c *Config) { c.Size = 0 },
		"no depth":           func(c *Config) { c.Depth = 0 },
		"too much in flight": func(c *Config) { c.Size, c.Depth = 1<<19, 3 },
		"overflow":           func(c *Config) { c.Size, c.Depth = 1<<20, math.MaxInt },
		"no window":          func(c *Config) { c.Window = 0 },
	} {
		bad := good
		spoil(&bad)
		assert.Error(t, bad.Check(), name)
	}
}
