package backend

import (
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// optionCall is what the kernel is told of an option.
type optionCall struct {
	level, opt int
	read       int           // what getsockopt(2) calls it, if not opt
	at         SocketPlace   // where it may be set
	reapply    SocketPlace   // OnListener: accepted sockets do not inherit it; OnDial: connecting undoes it
	unix       bool          // Unix sockets have it too
	unit       time.Duration // of a time, as the kernel counts
	min, max   int64         // of what the kernel is given
	scale      int64         // the kernel multiplies by it, if not 0
	limit      string        // what may make the kernel take less than it was asked for, or ""
	needs      string        // the privilege, or ""
}

const (
	beforeUse = OnListener | OnDial
	anyTime   = beforeUse | OnStream

	maxInt  = math.MaxInt32
	sol     = unix.SOL_SOCKET
	tcp     = unix.IPPROTO_TCP
	maxName = 15 // IFNAMSIZ and TCP_CA_NAME_MAX are 16, with a byte 0
)

var placeNames = [...]string{OnListener: "on a listener", OnDial: "on a dial", beforeUse: "on a listener or a dial"}

// optionCalls is the one place that says what the kernel calls an option, and what bounds it. What is inherited was
// looked at on Linux 6.18: TypeOfService is, unless net.ipv4.tcp_reflect_tos is set; Unix sockets inherit nothing.
var optionCalls = [numOptions]optionCall{
	optNoDelay:            {level: tcp, opt: unix.TCP_NODELAY, at: anyTime, max: 1},
	optQuickAck:           {level: tcp, opt: unix.TCP_QUICKACK, at: anyTime, reapply: beforeUse, max: 1},
	optTimestamp:          {level: sol, opt: unix.SO_TIMESTAMP, at: anyTime, max: 1},
	optReuseAddress:       {level: sol, opt: unix.SO_REUSEADDR, at: beforeUse, max: 1},
	optReusePort:          {level: sol, opt: unix.SO_REUSEPORT, at: beforeUse, max: 1},
	optFastOpenConnect:    {level: tcp, opt: unix.TCP_FASTOPEN_CONNECT, at: OnDial, max: 1},
	optV6Only:             {level: unix.IPPROTO_IPV6, opt: unix.IPV6_V6ONLY, at: OnListener, max: 1},
	optMark:               {level: sol, opt: unix.SO_MARK, at: anyTime, max: math.MaxUint32, needs: "CAP_NET_ADMIN, or CAP_NET_RAW since Linux 5.17"},
	optPriority:           {level: sol, opt: unix.SO_PRIORITY, at: anyTime, reapply: OnListener, max: math.MaxUint32, needs: "CAP_NET_ADMIN for more than 6"},
	optTypeOfService:      {level: unix.IPPROTO_IP, opt: unix.IP_TOS, at: anyTime, reapply: OnListener, max: 0xfc},
	optFastOpen:           {level: tcp, opt: unix.TCP_FASTOPEN, at: OnListener, max: maxInt, limit: "net.core.somaxconn"},
	optReceiveBuffer:      {level: sol, opt: unix.SO_RCVBUF, at: anyTime, min: 1, max: maxInt / 2, scale: 2, limit: "net.core.rmem_max"},
	optReceiveBufferForce: {level: sol, opt: unix.SO_RCVBUFFORCE, read: unix.SO_RCVBUF, at: anyTime, min: 1, max: maxInt / 2, needs: "CAP_NET_ADMIN"},
	optReceiveLowWater:    {level: sol, opt: unix.SO_RCVLOWAT, at: anyTime, min: 1, max: maxInt, limit: "half the receive buffer (ReceiveBuffer, net.ipv4.tcp_rmem)"},
	optSendBuffer:         {level: sol, opt: unix.SO_SNDBUF, at: anyTime, unix: true, min: 1, max: maxInt / 2, scale: 2, limit: "net.core.wmem_max"},
	optSendBufferForce:    {level: sol, opt: unix.SO_SNDBUFFORCE, read: unix.SO_SNDBUF, at: anyTime, unix: true, min: 1, max: maxInt / 2, needs: "CAP_NET_ADMIN"},
	optNotSentLowWater:    {level: tcp, opt: unix.TCP_NOTSENT_LOWAT, at: anyTime, max: maxInt},
	optLinger:             {level: sol, opt: unix.SO_LINGER, at: anyTime, unit: time.Second, min: -1, max: 0},
	optUserTimeout:        {level: tcp, opt: unix.TCP_USER_TIMEOUT, at: anyTime, unit: time.Millisecond, max: maxInt},
	optDeferAccept:        {level: tcp, opt: unix.TCP_DEFER_ACCEPT, at: OnListener, unit: time.Second, max: maxInt, limit: "the time that repeating the SYN+ACK 255 times takes"},
	optBusyPoll:           {level: sol, opt: unix.SO_BUSY_POLL, at: anyTime, unit: time.Microsecond, max: maxInt, needs: "CAP_NET_ADMIN on this kernel, for more than there is"},
	optBindToDevice:       {level: sol, opt: unix.SO_BINDTODEVICE, at: anyTime, needs: "CAP_NET_RAW to change a binding that there is, and before Linux 5.7 always"},
	optCongestion:         {level: tcp, opt: unix.TCP_CONGESTION, at: anyTime, needs: "CAP_NET_ADMIN for what is not in net.ipv4.tcp_allowed_congestion_control"},
	optKeepAlive:          {level: sol, opt: unix.SO_KEEPALIVE, at: anyTime, unit: time.Second},
}

// CheckSocketOptions returns an error for the first option that no socket of the network could have at this place.
func CheckSocketOptions(network string, options []SocketOption, at SocketPlace) error {
	for _, o := range options {
		if err := o.check(!isTCP(network), at); err != nil {
			return err
		}
	}
	return nil
}

// OptionsToReapply is those of the options given at a place that have to be set once more on the connected socket.
func OptionsToReapply(network string, options []SocketOption, at SocketPlace) []SocketOption {
	var again []SocketOption
	for _, o := range options {
		if optionCalls[o.kind].reapply&at != 0 || !isTCP(network) && at == OnListener {
			again = append(again, o)
		}
	}
	return again
}

// setSocketOptions sets options in their order, up to the first that fails. One that fails because the kernel took less
// than it was asked for is set to that.
func setSocketOptions(fd int, options []SocketOption, at SocketPlace) error {
	if len(options) == 0 {
		return nil
	}
	family, err := unix.GetsockoptInt(fd, sol, unix.SO_DOMAIN)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	for _, o := range options {
		if err := o.check(family == unix.AF_UNIX || family == unix.AF_VSOCK, at); err != nil {
			return err
		}
		if err := o.set(fd, family); err != nil {
			return o.failed(os.NewSyscallError("setsockopt", err), o.cure(err))
		}
		if err := o.verify(fd); err != nil {
			return err
		}
	}
	return nil
}

// GetSocketOption reads the current value of o's option; o's own value is ignored.
func GetSocketOption(fd int, o SocketOption) (SocketOption, error) {
	family, err := unix.GetsockoptInt(fd, sol, unix.SO_DOMAIN)
	if err != nil {
		return SocketOption{}, os.NewSyscallError("getsockopt", err)
	}
	if err := o.checkNetwork(family == unix.AF_UNIX || family == unix.AF_VSOCK); err != nil {
		return SocketOption{}, err
	}
	got, err := o.get(fd, family)
	if err != nil {
		return SocketOption{}, o.failed(os.NewSyscallError("getsockopt", err), o.cure(err))
	}
	return got, nil
}

func (o SocketOption) checkNetwork(notTCP bool) error {
	switch {
	case o.kind == noOption:
		return o.failed(unix.EINVAL, "it is the zero SocketOption; use a constructor, such as NoDelay")
	case notTCP && !optionCalls[o.kind].unix:
		return o.failed(unix.EOPNOTSUPP, "it does nothing on a Unix socket, nor on a vsock; leave it out there")
	}
	return nil
}

// check refuses what the kernel would refuse without saying why, and what it would ignore.
func (o SocketOption) check(notTCP bool, at SocketPlace) error {
	if err := o.checkNetwork(notTCP); err != nil {
		return err
	}
	c := &optionCalls[o.kind]
	if c.at&at == 0 {
		return o.failed(unix.EINVAL, "it can be set only "+placeNames[c.at])
	}
	switch {
	case o.kind == optTypeOfService && o.n&3 != 0:
		return o.failed(unix.EINVAL, "the two lower bits are for TCP alone; they must be 0")
	case o.kind == optCongestion && o.text == "", len(o.text) > maxName:
		return o.failed(unix.EINVAL, "it must have between 1 and 15 bytes")
	case o.kind == optLinger && o.span > 0:
		return o.failed(unix.EINVAL, "close(2) would block the loop; use 0 or -1, and CloseTimeout")
	case c.unit != 0 && (o.span%c.unit != 0 || o.interval%c.unit != 0):
		return o.failed(unix.EINVAL, "it must be a multiple of "+c.unit.String())
	case o.text == "" && o.kind != optKeepAlive && (o.number() < c.min || o.number() > c.max):
		return o.failed(unix.EINVAL, fmt.Sprintf("it must be between %v and %v", c.value(c.min), c.value(c.max)))
	}
	return nil
}

// number is what the kernel is given.
func (o SocketOption) number() int64 {
	if unit := optionCalls[o.kind].unit; unit != 0 {
		return int64(o.span / unit)
	}
	return o.n
}

func (o SocketOption) set(fd, family int) error {
	c := &optionCalls[o.kind]
	n := int(int32(o.number())) // also those above 2^31 are 32 bits to the kernel
	switch o.kind {
	case optBindToDevice, optCongestion:
		return unix.SetsockoptString(fd, c.level, c.opt, o.text)
	case optLinger:
		return unix.SetsockoptLinger(fd, c.level, c.opt, &unix.Linger{Onoff: int32(n + 1)})
	case optKeepAlive:
		return o.setKeepAlive(fd)
	case optTypeOfService: // an IPv6 socket may have an IPv4 peer, and then sends the other byte
		if family == unix.AF_INET6 {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, n); err != nil {
				return err
			}
		}
	}
	return unix.SetsockoptInt(fd, c.level, c.opt, n)
}

var keepAliveOptions = [...]int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT}

func (o SocketOption) setKeepAlive(fd int) error {
	if o.n == 0 {
		return unix.SetsockoptInt(fd, sol, unix.SO_KEEPALIVE, 0)
	}
	for i, v := range [...]int64{int64(o.span / time.Second), int64(o.interval / time.Second), o.n} {
		if err := unix.SetsockoptInt(fd, tcp, keepAliveOptions[i], int(max(0, min(v, maxInt)))); err != nil {
			return err
		}
	}
	return unix.SetsockoptInt(fd, sol, unix.SO_KEEPALIVE, 1)
}

func getKeepAlive(fd int, on bool) (SocketOption, error) {
	if !on {
		return KeepAliveOff(), nil
	}
	var got [len(keepAliveOptions)]int
	for i, opt := range keepAliveOptions {
		var err error
		if got[i], err = unix.GetsockoptInt(fd, tcp, opt); err != nil {
			return SocketOption{}, err
		}
	}
	return KeepAlive(time.Duration(got[0])*time.Second, time.Duration(got[1])*time.Second, got[2]), nil
}

func (o SocketOption) get(fd, family int) (SocketOption, error) {
	c := &optionCalls[o.kind]
	level, opt, got := c.level, c.opt, SocketOption{kind: o.kind}
	switch {
	case c.read != 0:
		opt = c.read
	case o.kind == optBindToDevice || o.kind == optCongestion:
		text, err := unix.GetsockoptString(fd, level, opt)
		return SocketOption{kind: o.kind, text: text}, err
	case o.kind == optLinger:
		l, err := unix.GetsockoptLinger(fd, level, opt)
		if err != nil || l.Onoff == 0 {
			return Linger(-1), err
		}
		return Linger(time.Duration(l.Linger) * c.unit), nil
	case o.kind == optTypeOfService && family == unix.AF_INET6 && !RemoteAddress(fd).IP.Addr().Is4In6():
		level, opt = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
	}
	v, err := unix.GetsockoptInt(fd, level, opt)
	switch {
	case err != nil:
	case o.kind == optKeepAlive:
		return getKeepAlive(fd, v != 0)
	case c.unit != 0:
		got.span = time.Duration(v) * c.unit
	case c.max > maxInt:
		got.n = int64(uint32(v))
	default:
		got.n = int64(v)
	}
	return got, err
}

// verify finds out what the kernel took without honouring it.
func (o SocketOption) verify(fd int) error {
	c := &optionCalls[o.kind]
	if o.kind == optFastOpen && o.n > 0 {
		text, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_fastopen")
		var bits int
		if n, _ := fmt.Sscan(string(text), &bits); n == 1 && bits&2 == 0 {
			return o.failed(unix.EOPNOTSUPP, "the sysctl net.ipv4.tcp_fastopen switches it off for listeners; set bit 2 there")
		}
	}
	if c.limit == "" {
		return nil
	}
	got, err := o.get(fd, 0)
	if kept := got.number() / max(c.scale, 1); err == nil && kept < o.number() {
		return o.failed(unix.EINVAL, fmt.Sprintf("the kernel made it %v; the limit is %s", c.value(kept), c.limit))
	}
	return nil
}

// cure is what helps against an errno: the one place that knows.
func (o SocketOption) cure(err error) string {
	switch {
	case err == unix.EPERM && optionCalls[o.kind].needs != "":
		return "it needs " + optionCalls[o.kind].needs
	case err == unix.EINVAL && o.kind == optKeepAlive:
		return "the times must be between 1 and 32767 s, and the count between 1 and 127"
	case err == unix.ENODEV:
		return "there is no such network interface"
	case err == unix.ENOENT:
		return "load the module; net.ipv4.tcp_available_congestion_control tells what there is"
	case err == unix.EOPNOTSUPP && o.kind == optFastOpenConnect:
		return "the sysctl net.ipv4.tcp_fastopen switches it off for clients; set bit 1 there"
	case err == unix.ENOPROTOOPT:
		return "this kernel does not have it, or not for such an address: v6only is for IPv6"
	}
	return ""
}

// value is n as the option's value is written.
func (c *optionCall) value(n int64) any {
	if c.unit != 0 {
		return time.Duration(n) * c.unit
	}
	return n
}
