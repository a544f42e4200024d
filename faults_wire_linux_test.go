package tandem_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	nearIP = "10.203.0.1"
	farIP  = "10.203.0.2"
	device = "veth0" // at both ends
)

// wire is a pair of virtual Ethernet devices that joins two networks. The near one is this process's, where Transports
// are; the far one has a thread, which makes the peers' sockets. Both, and the wire, end with the process.
//
//	process: Transport ── veth0 10.203.0.1 ═══ 10.203.0.2 veth0 ── thread: net.Conn
type wire struct {
	t    *testing.T
	work chan func()
	ip   string
}

// newWire must be called in a process whose network is its own.
func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{t: t, work: make(chan func()), ip: program(t, "ip", "iproute2")}
	made := make(chan error)
	var network *os.File
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			network, err = os.Open("/proc/thread-self/ns/net")
		}
		made <- err
		for fn := range w.work {
			fn()
		}
	}()
	t.Cleanup(func() { close(w.work) })
	if err := <-made; err != nil {
		untested(t, "no second network: %v", err)
	}
	defer network.Close()
	add := exec.Command(w.ip, "link", "add", device, "type", "veth", "peer", "name", device, "netns", "/proc/self/fd/3")
	add.ExtraFiles = []*os.File{network}
	if out, err := add.CombinedOutput(); err != nil {
		untested(t, "no veth devices: %v: %s", err, out)
	}
	w.near(w.ip, "addr", "add", nearIP+"/24", "dev", device)
	w.far(w.ip, "addr", "add", farIP+"/24", "dev", device)
	for _, at := range []func(...string) string{w.near, w.far} {
		at(w.ip, "link", "set", "lo", "up")
		at(w.ip, "link", "set", device, "up")
	}
	return w
}

// onFar runs fn on the thread of the far network.
func (w *wire) onFar(fn func()) {
	done := make(chan struct{})
	w.work <- func() { defer close(done); fn() }
	<-done
}

// near runs a program in the near network, and returns what it printed.
func (w *wire) near(args ...string) string {
	w.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(w.t, err, "%q: %s", args, out)
	return string(out)
}

// far runs a program in the far network.
func (w *wire) far(args ...string) string {
	w.t.Helper()
	var out []byte
	var err error
	w.onFar(func() { out, err = exec.Command(args[0], args[1:]...).CombinedOutput() })
	require.NoError(w.t, err, "%q: %s", args, out)
	return string(out)
}

// link sets a property of the device at one end.
func (w *wire) link(at func(...string) string, what ...string) {
	w.t.Helper()
	at(append([]string{w.ip, "link", "set", device}, what...)...)
}

// dial connects from the far network.
func (w *wire) dial(address string) *net.TCPConn {
	w.t.Helper()
	var c net.Conn
	var err error
	w.onFar(func() { c, err = net.DialTimeout("tcp", address, patience) })
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// listen listens in the far network.
func (w *wire) listen() net.Listener { w.t.Helper(); return w.listenAt(farIP) }

func (w *wire) listenAt(ip string) net.Listener {
	w.t.Helper()
	var l net.Listener
	var err error
	w.onFar(func() { l, err = net.Listen("tcp", ip+":0") })
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = l.Close() })
	return l
}

// filter has a rule of nftables hold in the far network, for its hook: input is what comes from the near one. undo takes
// it back, and checks that it was of consequence.
func (w *wire) filter(hook, rule string) (undo func()) {
	w.t.Helper()
	nft := program(w.t, "nft", "nftables")
	chain := fmt.Sprintf("table inet fault {\nchain c {\ntype filter hook %s priority 0\n%s\n}\n}", hook, rule)
	var out []byte
	var err error
	w.onFar(func() { out, err = exec.Command(nft, chain).CombinedOutput() })
	if err != nil {
		untested(w.t, "nft %q: %v: %s", chain, err, out)
	}
	return func() {
		w.t.Helper()
		assert.NotContains(w.t, w.far(nft, "list", "table", "inet", "fault"), "packets 0", "what %q has caught", rule)
		w.far(nft, "delete", "table", "inet", "fault")
	}
}

// setting writes a setting below /proc/sys, in the near network.
func (w *wire) setting(name, value string) {
	w.t.Helper()
	require.NoError(w.t, os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0))
}

// during is how long faults last that pass: some retransmissions.
const during = 300 * time.Millisecond

// eachOnFar runs fn on a thread of its own in the far network.
func (w *wire) eachOnFar(fn func()) {
	runtime.LockOSThread() // for good
	var network *os.File
	var err error
	w.onFar(func() { network, err = os.Open("/proc/thread-self/ns/net") })
	if err == nil {
		err = unix.Setns(int(network.Fd()), unix.CLONE_NEWNET)
		_ = network.Close()
	}
	if assert.NoError(w.t, err) {
		fn()
	}
}

const tcpClose = 7 // TCP_CLOSE, include/net/tcp_states.h

// tcpState is the state of a connection, as TCP_INFO tells it.
func tcpState(raw syscall.RawConn) (state uint8) {
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			state = info.State
		}
	})
	return state
}
