//go:build linux

package backend

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testSocket is a fresh socket of a family.
func testSocket(t *testing.T, family int) int {
	t.Helper()
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Skipf("NOT TESTED: socket: %v", err)
	}
	t.Cleanup(func() { CloseFD(fd) })
	return fd
}

// rawOption asks the kernel for the value of an option by its numbers.
func rawOption(t *testing.T, fd, level, opt int) string {
	t.Helper()
	switch [2]int{level, opt} {
	case [2]int{1, 13}:
		l, err := unix.GetsockoptLinger(fd, level, opt)
		return fmt.Sprintln(*l, err)
	case [2]int{1, 25}, [2]int{6, 13}:
		text, err := unix.GetsockoptString(fd, level, opt)
		return fmt.Sprintln(text, err)
	}
	n, err := unix.GetsockoptInt(fd, level, opt)
	return fmt.Sprintln(uint32(n), err)
}

// rawCases are the options with what the kernel then has, by the numbers of x86 and arm64: asm-generic/socket.h,
// linux/tcp.h, linux/in.h, linux/in6.h.
var rawCases = []struct {
	o          SocketOption
	text       string
	level, opt int
	want       any
	at         SocketPlace
}{
	{NoDelay(true), "nodelay=on", 6, 1, 1, anyTime},
	{QuickAck(false), "quickack=off", 6, 12, 0, anyTime},
	{Timestamp(true), "timestamp=on", 1, 29, 1, anyTime},
	{ReuseAddress(true), "reuseaddr=on", 1, 2, 1, beforeUse},
	{ReusePortGroup(true), "reuseport=on", 1, 15, 1, beforeUse},
	{FastOpenConnect(true), "fastopen-connect=on", 6, 30, 1, OnDial},
	{Mark(math.MaxUint32), "mark=4294967295", 1, 36, uint32(math.MaxUint32), anyTime},
	{Priority(6), "priority=6", 1, 12, 6, anyTime},
	{Priority(math.MaxUint32), "priority=4294967295", 1, 12, uint32(math.MaxUint32), anyTime},
	{TypeOfService(0xb8), "tos=184", 0, 1, 0xb8, anyTime},
	{FastOpen(17), "fastopen=17", 6, 23, 17, OnListener},
	{ReceiveBuffer(50_000), "rcvbuf=50000", 1, 8, 100_000, anyTime},
	{ReceiveBufferForce(60_000), "rcvbufforce=60000", 1, 8, 120_000, anyTime},
	{ReceiveLowWater(100), "rcvlowat=100", 1, 18, 100, anyTime},
	{SendBuffer(50_000), "sndbuf=50000", 1, 7, 100_000, anyTime},
	{SendBufferForce(60_000), "sndbufforce=60000", 1, 7, 120_000, anyTime},
	{NotSentLowWater(9000), "notsent-lowat=9000", 6, 25, 9000, anyTime},
	{Linger(0), "linger=0s", 1, 13, unix.Linger{Onoff: 1}, anyTime},
	{Linger(-5), "linger=off", 1, 13, unix.Linger{}, anyTime},
	{UserTimeout(1500 * time.Millisecond), "user-timeout=1.5s", 6, 18, 1500, anyTime},
	{DeferAccept(10 * time.Second), "defer-accept=10s", 6, 9, 15, OnListener},
	{BusyPoll(50 * time.Microsecond), "busy-poll=50µs", 1, 46, 50, anyTime},
	{KeepAlive(33*time.Second, 7*time.Second, 4), "keepalive=33s,7s,4", 1, 9, 1, anyTime},
	{KeepAlive(33*time.Second, 7*time.Second, 4), "keepalive=33s,7s,4", 6, 4, 33, anyTime},
	{KeepAlive(33*time.Second, 7*time.Second, 4), "keepalive=33s,7s,4", 6, 5, 7, anyTime},
	{KeepAlive(33*time.Second, 7*time.Second, 4), "keepalive=33s,7s,4", 6, 6, 4, anyTime},
	{KeepAliveOff(), "keepalive=off", 1, 9, 0, anyTime},
	{BindToDevice("lo"), "bindtodevice=lo", 1, 25, "lo", anyTime},
	{Congestion("reno"), "congestion=reno", 6, 13, "reno", anyTime},
}

func TestSocketOptionsInKernel(t *testing.T) {
	for _, c := range rawCases {
		t.Run(c.text, func(t *testing.T) {
			if got := c.o.String(); got != c.text {
				t.Errorf("its text is %q", got)
			}
			for _, at := range []SocketPlace{OnListener, OnDial, OnStream} {
				fd := testSocket(t, unix.AF_INET)
				err := setSocketOptions(fd, []SocketOption{c.o}, at)
				if c.at&at == 0 {
					if !errors.Is(err, unix.EINVAL) {
						t.Errorf("at place %d it is no error: %v", at, err)
					}
					continue
				}
				if errors.Is(err, unix.EPERM) || errors.Is(err, errors.ErrUnsupported) {
					t.Skipf("NOT TESTED: %v", err)
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := rawOption(t, fd, c.level, c.opt); got != fmt.Sprintln(c.want, nil) {
					t.Errorf("the kernel has %s, not %v", got, c.want)
				}
			}
		})
	}
}

// TestSocketOptionsIPv6 looks at both fields that TypeOfService sets, and at v6only.
func TestSocketOptionsIPv6(t *testing.T) {
	fd := testSocket(t, unix.AF_INET6)
	if err := setSocketOptions(fd, []SocketOption{TypeOfService(0x48), V6Only(true)}, OnListener); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]int{{41, 67, 0x48}, {0, 1, 0x48}, {41, 26, 1}} {
		if got := rawOption(t, fd, c[0], c[1]); got != fmt.Sprintln(c[2], nil) {
			t.Errorf("option %d of level %d is %s, not %d", c[1], c[0], got, c[2])
		}
	}
	if got, err := GetSocketOption(fd, V6Only(false)); got != V6Only(true) || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSocketOptionsComplete holds the tables together: each kind has a name, a call, a place, and a case above.
func TestSocketOptionsComplete(t *testing.T) {
	seen := map[string]bool{"v6only": true}
	for _, c := range rawCases {
		seen[c.o.Name()] = true
	}
	for k := noOption + 1; k < numOptions; k++ {
		c := optionCalls[k]
		if optionNames[k] == "" || c.opt == 0 || c.at == 0 || c.max == 0 && c.at&OnStream == 0 || !seen[optionNames[k]] {
			t.Errorf("option %d, %q, is not complete", k, optionNames[k])
		}
		if c.at != anyTime && placeNames[c.at] == "" {
			t.Errorf("place %d has no name", c.at)
		}
	}
	if got := (SocketOption{}).String(); got != "none" || (SocketOption{}).Value() != nil {
		t.Errorf("the zero SocketOption is %q", got)
	}
	want := net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 9}
	if got := KeepAlive(0, 0, 0).Value(); got != want {
		t.Errorf("the defaults of keep-alive are %v", got)
	}
}

// TestOptionsToReapply has the options that accepted sockets do not inherit set on them as well.
func TestOptionsToReapply(t *testing.T) {
	all := []SocketOption{Priority(3), SendBuffer(5000), QuickAck(true)}
	for _, c := range []struct {
		network string
		at      SocketPlace
		want    []SocketOption
	}{{"tcp", OnListener, []SocketOption{all[0], all[2]}}, {"tcp", OnDial, all[2:]}, {"unix", OnListener, all}, {"unix", OnDial, all[2:]}} {
		if got := OptionsToReapply(c.network, all, c.at); !slices.Equal(got, c.want) {
			t.Errorf("%s, place %d: %v, not %v", c.network, c.at, got, c.want)
		}
	}
}

func TestSocketOptionsRefused(t *testing.T) {
	second := time.Second
	for _, c := range []struct {
		o    SocketOption
		word string // that has to be in the text
	}{
		{SocketOption{}, "constructor"},
		{TypeOfService(2), "lower bits"},
		{FastOpen(-1), "between 0 and 2147483647"},
		{ReceiveBuffer(0), "between 1 and 1073741823"},
		{SendBuffer(1 << 30), "between 1 and 1073741823"},
		{ReceiveBufferForce(-1), "between 1 and"},
		{ReceiveLowWater(0), "between 1 and"},
		{NotSentLowWater(-1), "between 0 and"},
		{Linger(second), "CloseTimeout"},
		{UserTimeout(-second), "between 0s and"},
		{UserTimeout(time.Microsecond), "multiple of 1ms"},
		{UserTimeout(math.MaxInt32*time.Millisecond + second), "between 0s and"},
		{DeferAccept(second / 2), "multiple of 1s"},
		{BusyPoll(1), "multiple of 1µs"},
		{KeepAlive(second/2, 0, 0), "multiple of 1s"},
		{KeepAlive(0, 3*second/2, 0), "multiple of 1s"},
		{BindToDevice(strings.Repeat("x", 16)), "between 1 and 15 bytes"},
		{Congestion(""), "between 1 and 15 bytes"},
	} {
		err := CheckSocketOptions("tcp", []SocketOption{NoDelay(true), c.o}, OnListener)
		var e *SocketOptionError
		if !errors.As(err, &e) || e.Option != c.o || !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v: %v, which does not say %q", c.o, err, c.word)
		}
	}
}

// TestSocketOptionsByKernel is for what only the kernel refuses, or quietly changes.
func TestSocketOptionsByKernel(t *testing.T) {
	for _, c := range []struct {
		o     SocketOption
		cause error
		word  string
	}{
		{ReceiveBuffer(1<<30 - 1), unix.EINVAL, "net.core.rmem_max"},
		{SendBuffer(1<<30 - 1), unix.EINVAL, "net.core.wmem_max"},
		{ReceiveLowWater(math.MaxInt32), unix.EINVAL, "half the receive buffer"},
		{DeferAccept(math.MaxInt32 * time.Second), unix.EINVAL, "SYN+ACK"},
		{KeepAlive(32767*time.Second, 32767*time.Second, 127), nil, ""},
		{KeepAlive(32768*time.Second, 0, 0), unix.EINVAL, "32767 s"},
		{KeepAlive((1<<32+5)*time.Second, 0, 0), unix.EINVAL, "32767 s"},
		{KeepAlive(-15*time.Second, 0, 0), unix.EINVAL, "32767 s"},
		{KeepAlive(0, 0, 128), unix.EINVAL, "127"},
		{KeepAlive(0, 0, -1), unix.EINVAL, "127"},
		{BindToDevice("none-such"), unix.ENODEV, "interface"},
		{Congestion("none-such"), unix.ENOENT, "tcp_available_congestion_control"},
		{V6Only(true), unix.ENOPROTOOPT, "v6only is for IPv6"},
	} {
		err := setSocketOptions(testSocket(t, unix.AF_INET), []SocketOption{c.o}, OnListener)
		if !errors.Is(err, c.cause) || err != nil && !strings.Contains(err.Error(), c.word) {
			t.Errorf("%v: %v, which is not %v or does not say %q", c.o, err, c.cause, c.word)
		}
	}
	var sys *os.SyscallError
	err := setSocketOptions(testSocket(t, unix.AF_INET), []SocketOption{BindToDevice("none-such")}, OnStream)
	if !errors.As(err, &sys) || sys.Syscall != "setsockopt" {
		t.Errorf("%v holds no *os.SyscallError of setsockopt", err)
	}
}

// TestSocketOptionsUnix: of all options a Unix socket has two; the others the kernel refuses, or takes for nothing.
func TestSocketOptionsUnix(t *testing.T) {
	for _, c := range rawCases {
		fd := testSocket(t, unix.AF_UNIX)
		at := OnListener
		if c.at&at == 0 {
			at = OnDial
		}
		err := setSocketOptions(fd, []SocketOption{c.o}, at)
		switch c.o.Name() {
		case "sndbuf", "sndbufforce":
			if err != nil && !errors.Is(err, unix.EPERM) {
				t.Error(err)
			}
		default:
			if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%v on a Unix socket: %v", c.o, err)
			}
			if _, err := GetSocketOption(fd, c.o); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("reading %v of a Unix socket: %v", c.o, err)
			}
		}
	}
}

// TestSocketOptionsPrivilege checks the cure; it needs a process without privileges.
func TestSocketOptionsPrivilege(t *testing.T) {
	for o, word := range map[SocketOption]string{
		Mark(1): "CAP_NET_ADMIN", Priority(7): "CAP_NET_ADMIN", SendBufferForce(5000): "CAP_NET_ADMIN",
		ReceiveBufferForce(5000): "CAP_NET_ADMIN",
	} {
		t.Run(o.Name(), func(t *testing.T) {
			err := setSocketOptions(testSocket(t, unix.AF_INET), []SocketOption{o}, OnDial)
			if err == nil {
				t.Skip("NOT TESTED: this process may do it")
			}
			if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), word) {
				t.Errorf("%v, which does not say %q", err, word)
			}
		})
	}
}
