package tandem_test

import (
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
)

// tunnel joins the two networks of a wire by TUN devices, whose packets pass through this process: it can lose them,
// double them and change their order, on any kernel. It needs no queueing discipline such as netem.
//
//	process: Transport ── tun0 10.204.0.1 ── relay ── 10.204.0.2 tun0 ── thread: net.Conn
type tunnel struct {
	lost, doubled, late atomic.Int64
}

const (
	tunnelNear = "10.204.0.1"
	tunnelFar  = "10.204.0.2"
)

// openTUN opens a TUN device in the network of the calling thread.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	r, err := unix.NewIfreq("tun0")
	if err == nil {
		r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, r)
	}
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("TUNSETIFF", err)
	}
	return os.NewFile(uintptr(fd), "tun0"), nil
}

// newTunnel makes one that troubles so many of a hundred packets in each of three ways.
func (w *wire) newTunnel(percent int) *tunnel {
	w.t.Helper()
	var ends [2]*os.File
	var errs [2]error
	ends[0], errs[0] = openTUN()
	w.onFar(func() { ends[1], errs[1] = openTUN() })
	for _, err := range errs {
		if err != nil {
			untested(w.t, "no TUN devices: %v", err)
		}
	}
	for i, at := range []func(...string) string{w.near, w.far} {
		at(w.ip, "addr", "add", []string{tunnelNear, tunnelFar}[i]+"/24", "dev", "tun0")
		at(w.ip, "link", "set", "tun0", "up")
		w.t.Cleanup(func() { _ = ends[i].Close() })
	}
	u := &tunnel{}
	go u.relay(ends[0], ends[1], rand.New(rand.NewPCG(rand.Uint64(), 1)), percent)
	go u.relay(ends[1], ends[0], rand.New(rand.NewPCG(rand.Uint64(), 2)), percent)
	return u
}

// relay passes packets on until a device is closed.
func (u *tunnel) relay(from, to *os.File, r *rand.Rand, percent int) {
	var held []byte // to come behind the next packet
	for b := make([]byte, 64<<10); ; {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		p, times := b[:n], 1
		switch at := r.IntN(100); {
		case at < percent:
			times = 0
			u.lost.Add(1)
		case at < 2*percent:
			times = 2
			u.doubled.Add(1)
		case at < 3*percent && held == nil:
			held = append(held, p...)
			u.late.Add(1)
			continue
		}
		for range times {
			_, _ = to.Write(p)
		}
		if held != nil {
			_, _ = to.Write(held)
			held = nil
		}
		runtime.Gosched()
	}
}

// TestFaultDisorder has packets come twice, not at all, and in the wrong order, for as long as a transfer lasts.
func TestFaultDisorder(t *testing.T) {
	t.Parallel()
	asRoot(t)
	faults(t, process{network: true}, func(t *testing.T, b tandem.Backend) {
		w := newWire(t)
		u := w.newTunnel(2)
		connect := func() (net.Listener, func(string) net.Conn) {
			return w.listenAt(tunnelFar), func(address string) net.Conn { return w.dial(to(tunnelNear, address)) }
		}
		files := openFiles()
		disturb(t, b, 1<<20, connect, func() {})
		for what, n := range map[string]int64{"lost": u.lost.Load(), "doubled": u.doubled.Load(), "late": u.late.Load()} {
			assert.NotZero(t, n, "packets that were %s", what)
		}
		require.LessOrEqual(t, openFiles(), files)
	})
}
