package backend

import (
	"fmt"
	"net"
	"time"
)

// SocketOption is one option of a socket, with its value. The functions below make them; they can be compared, and
// given to any number of sockets. The zero SocketOption is an error wherever it is used.
//
// Unless its text says otherwise an option is for TCP, and may be set in ListenOptions.Socket, in DialOptions.Socket,
// and on a stream at any time. A listener's options hold for the streams that it accepts: the kernel hands most of them
// on, and the rest is set on each accepted socket. Options take effect in the order given. What an option asks for and
// the kernel would quietly ignore or cut short is an error, a *[SocketOptionError].
//
// Four options are missing because they could do nothing. SO_RCVTIMEO and SO_SNDTIMEO bound calls that block, and none
// does here: a loop waits, for all its sockets; IdleTimeout, CloseTimeout and timers bound streams. O_NONBLOCK is always
// set, for the same reason. SO_BROADCAST is for datagrams, socket(7).
type SocketOption struct {
	kind     optionKind
	n        int64         // a switch as 0 or 1, a number, bytes, or the count of keep-alive: 0 is off
	span     time.Duration // a time; the idle time of keep-alive
	interval time.Duration // of keep-alive
	text     string        // a name
}

// SocketPlace is where a socket option is set. They are bits, so that a set of them is one too.
type SocketPlace uint8

// The places.
const (
	OnListener SocketPlace = 1 << iota // before bind(2)
	OnDial                             // before connect(2)
	OnStream                           // on a live stream
)

// optionKind is which option it is. The order of the constants says what a value looks like: Value compares with the last
// constant of each block, so a new one goes above it.
type optionKind uint8

const (
	noOption optionKind = iota

	optNoDelay // switches, up to optV6Only
	optQuickAck
	optTimestamp
	optReuseAddress
	optReusePort
	optFastOpenConnect
	optV6Only

	optMark // numbers, up to optNotSentLowWater
	optPriority
	optTypeOfService
	optFastOpen
	optReceiveBuffer
	optReceiveBufferForce
	optReceiveLowWater
	optSendBuffer
	optSendBufferForce
	optNotSentLowWater

	optLinger // times, up to optBusyPoll
	optUserTimeout
	optDeferAccept
	optBusyPoll

	optBindToDevice // names, up to optCongestion
	optCongestion

	optKeepAlive // a switch, two times and a number
	numOptions
)

var optionNames = [numOptions]string{
	optNoDelay: "nodelay", optQuickAck: "quickack", optTimestamp: "timestamp", optReuseAddress: "reuseaddr",
	optReusePort: "reuseport", optFastOpenConnect: "fastopen-connect", optV6Only: "v6only", optMark: "mark",
	optPriority: "priority", optTypeOfService: "tos", optFastOpen: "fastopen", optReceiveBuffer: "rcvbuf",
	optReceiveBufferForce: "rcvbufforce", optReceiveLowWater: "rcvlowat", optSendBuffer: "sndbuf",
	optSendBufferForce: "sndbufforce", optNotSentLowWater: "notsent-lowat", optLinger: "linger",
	optUserTimeout: "user-timeout", optDeferAccept: "defer-accept", optBusyPoll: "busy-poll",
	optBindToDevice: "bindtodevice", optCongestion: "congestion", optKeepAlive: "keepalive",
}

func toggle(k optionKind, on bool) SocketOption {
	if on {
		return SocketOption{kind: k, n: 1}
	}
	return SocketOption{kind: k}
}

// NoDelay sends small writes at once, instead of holding them back until earlier data is acknowledged. Default on.
// TCP_NODELAY, tcp(7).
func NoDelay(on bool) SocketOption { return toggle(optNoDelay, on) }

// QuickAck acknowledges at once (on), or delays acknowledgements so that they can go out with data (off). It is a hint
// for the moment: the kernel goes on to decide for itself as traffic comes, and reading the option returns the current
// state. Default: the kernel's. TCP_QUICKACK, tcp(7).
func QuickAck(on bool) SocketOption { return toggle(optQuickAck, on) }

// Timestamp makes the kernel record when bytes arrived. recvmsg(2) returns that; streams do not ask for it, so the
// option is for code that receives on the descriptor itself. Default off. SO_TIMESTAMP, socket(7).
func Timestamp(on bool) SocketOption { return toggle(optTimestamp, on) }

// ReuseAddress allows binding an address that old connections still use, as long as no listener does. Default on for
// listeners, off for dials. Not on streams. SO_REUSEADDR, socket(7).
func ReuseAddress(on bool) SocketOption { return toggle(optReuseAddress, on) }

// ReusePortGroup lets several sockets bind one address if all of them set it and have the same effective user; the
// kernel spreads connections over those that listen. Default off; on with the balance ReusePort, which needs it for
// more than one loop. Not on streams. SO_REUSEPORT, socket(7).
func ReusePortGroup(on bool) SocketOption { return toggle(optReusePort, on) }

// FastOpenConnect sends the first bytes along with the SYN, to hosts that have allowed it before. Such a connect
// finishes before anything is sent: OnOpen runs at once, RemoteAddr is unspecified, a refusal ends the open stream, and
// nothing happens until something is written. Use it only for protocols in which the client speaks first, and for bytes
// that may arrive twice. Default off. Dials only. Since Linux 4.11, commit 19f6d3f3c842; RFC 7413. It is an error if
// the sysctl net.ipv4.tcp_fastopen lacks bit 1.
func FastOpenConnect(on bool) SocketOption { return toggle(optFastOpenConnect, on) }

// V6Only keeps a listener on [::] from accepting IPv4. Default off for the network tcp, on for tcp6, as in package net.
// Listeners on IPv6 only. IPV6_V6ONLY, ipv6(7).
func V6Only(on bool) SocketOption { return toggle(optV6Only, on) }

// Mark sets the mark of each packet, for routing and filters. Default 0. It needs CAP_NET_ADMIN or, since Linux 5.17,
// CAP_NET_RAW. SO_MARK, socket(7).
func Mark(mark uint32) SocketOption { return SocketOption{kind: optMark, n: int64(mark)} }

// Priority orders packets in the queues of network devices. Default 0. More than 6 needs CAP_NET_ADMIN, or on newer
// kernels CAP_NET_RAW; a listener needs it for as long as it accepts. TypeOfService changes the priority too: the later
// one in a list wins. SO_PRIORITY, socket(7).
func Priority(priority uint32) SocketOption {
	return SocketOption{kind: optPriority, n: int64(priority)}
}

// TypeOfService sets the TOS byte of IPv4 and the traffic class of IPv6, whichever the connection uses. The lower two
// bits belong to TCP, for congestion notification (RFC 3168), and must be 0. Default 0. IP_TOS, ip(7); IPV6_TCLASS, RFC
// 3542.
func TypeOfService(tos uint8) SocketOption {
	return SocketOption{kind: optTypeOfService, n: int64(tos)}
}

// FastOpen accepts bytes along with the SYN, from at most queue connections that are not established yet. Default 0:
// off. Listeners only. TCP_FASTOPEN, RFC 7413. It is an error if the sysctl net.ipv4.tcp_fastopen lacks bit 2, or if
// net.core.somaxconn is less than queue.
func FastOpen(queue int) SocketOption { return SocketOption{kind: optFastOpen, n: int64(queue)} }

// ReceiveBuffer sets how many bytes the kernel holds that were not received yet. A value below the kernel's minimum,
// about 1 KiB, means that minimum. The kernel doubles the value, for its own needs, so it reads back doubled. Default:
// net.ipv4.tcp_rmem, which the kernel adapts to the traffic; setting the option ends that. Set before bind or connect
// it also decides how far the window can grow. More than net.core.rmem_max is an error. SO_RCVBUF, socket(7).
func ReceiveBuffer(bytes int) SocketOption {
	return SocketOption{kind: optReceiveBuffer, n: int64(bytes)}
}

// ReceiveBufferForce is ReceiveBuffer without the limit. It needs CAP_NET_ADMIN. SO_RCVBUFFORCE, socket(7).
func ReceiveBufferForce(bytes int) SocketOption {
	return SocketOption{kind: optReceiveBufferForce, n: int64(bytes)}
}

// ReceiveLowWater sets how many bytes must have come before the stream learns of them; it learns of the end of the
// stream, and of errors, at once. Default and minimum 1. More than half the receive buffer is an error. SO_RCVLOWAT,
// socket(7).
func ReceiveLowWater(bytes int) SocketOption {
	return SocketOption{kind: optReceiveLowWater, n: int64(bytes)}
}

// SendBuffer sets how many bytes the kernel holds that were not acknowledged yet. A value below the kernel's minimum,
// about 2 KiB, means that minimum. The value is doubled as that of ReceiveBuffer. Default: net.ipv4.tcp_wmem, which the
// kernel adapts to the traffic, until the option is set; net.core.wmem_default for Unix sockets. More than
// net.core.wmem_max is an error. TCP and Unix. SO_SNDBUF, socket(7).
func SendBuffer(bytes int) SocketOption { return SocketOption{kind: optSendBuffer, n: int64(bytes)} }

// SendBufferForce is SendBuffer without the limit. It needs CAP_NET_ADMIN. SO_SNDBUFFORCE, socket(7).
func SendBufferForce(bytes int) SocketOption {
	return SocketOption{kind: optSendBufferForce, n: int64(bytes)}
}

// NotSentLowWater bounds how many bytes the kernel takes beyond those that it has put on the wire. The rest waits in
// the stream's queue, where it is counted. Default 0: the sysctl net.ipv4.tcp_notsent_lowat, which is unlimited.
// TCP_NOTSENT_LOWAT, ip-sysctl.rst of the kernel.
func NotSentLowWater(bytes int) SocketOption {
	return SocketOption{kind: optNotSentLowWater, n: int64(bytes)}
}

// Linger of 0 makes the end of a stream, also by Close, drop what the kernel has not sent yet and reset the connection.
// Negative is off, the default: the kernel sends the rest after the close. More than 0 is an error: close(2) would wait
// so long even if the socket is non-blocking (measured on Linux 6.18: linger 3 s, full queue, 3.01 s), and the loop
// would wait with it. CloseTimeout says how long a stream that is closing may take to send. SO_LINGER, socket(7).
func Linger(d time.Duration) SocketOption {
	if d < 0 {
		d = -time.Second
	}
	return SocketOption{kind: optLinger, span: d}
}

// UserTimeout ends the connection with ETIMEDOUT if sent data is not acknowledged for so long; it overrides the count
// of KeepAlive. In whole milliseconds. Default 0: the kernel's, about 15 minutes. TCP_USER_TIMEOUT, tcp(7).
func UserTimeout(d time.Duration) SocketOption { return SocketOption{kind: optUserTimeout, span: d} }

// DeferAccept accepts a connection only when its first bytes have come, and drops one that sends none for so long. In
// whole seconds, which the kernel rounds up to times at which it repeats the SYN+ACK, such as 1, 3, 7, 15 s. Default 0:
// off. Listeners only. TCP_DEFER_ACCEPT, tcp(7).
func DeferAccept(d time.Duration) SocketOption { return SocketOption{kind: optDeferAccept, span: d} }

// BusyPoll makes a receive that finds nothing poll the device's queue for so long. In whole microseconds. Default: the
// sysctl net.core.busy_read, 0. On older kernels more than that needs CAP_NET_ADMIN; on 6.18 it does not. SO_BUSY_POLL,
// socket(7).
func BusyPoll(d time.Duration) SocketOption { return SocketOption{kind: optBusyPoll, span: d} }

// KeepAlive makes the kernel probe a silent peer: first after idle, then every interval; after count unanswered probes
// the connection ends with ETIMEDOUT. In whole seconds up to 32767, and at most 127 probes; 0 is the default of each,
// 15 s, 15 s and 9. It is on by default. SO_KEEPALIVE, socket(7); TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, tcp(7).
func KeepAlive(idle, interval time.Duration, count int) SocketOption {
	o := SocketOption{kind: optKeepAlive, n: 9, span: 15 * time.Second, interval: 15 * time.Second}
	if idle != 0 {
		o.span = idle
	}
	if interval != 0 {
		o.interval = interval
	}
	if count != 0 {
		o.n = int64(count)
	}
	return o
}

// KeepAliveOff turns off the probes of KeepAlive: the kernel leaves a silent peer alone. SO_KEEPALIVE, socket(7).
func KeepAliveOff() SocketOption { return SocketOption{kind: optKeepAlive} }

// BindToDevice sends and receives by one network interface only. "" removes the binding, and is the default. Changing a
// binding needs CAP_NET_RAW; before Linux 5.7, setting one does, too. SO_BINDTODEVICE, socket(7).
func BindToDevice(name string) SocketOption { return SocketOption{kind: optBindToDevice, text: name} }

// Congestion names the algorithm of congestion control, such as "cubic" or "bbr". Default: the sysctl
// net.ipv4.tcp_congestion_control. Names that are not in net.ipv4.tcp_allowed_congestion_control need CAP_NET_ADMIN.
// The kernel may load a module for it, so on a live stream it can take a while. TCP_CONGESTION, tcp(7).
func Congestion(name string) SocketOption { return SocketOption{kind: optCongestion, text: name} }

// Name is the option's name, such as "nodelay", or "" for the zero SocketOption.
func (o SocketOption) Name() string { return optionNames[o.kind] }

// Value is a bool, an int64, a time.Duration, a string, or for keep-alive a [net.KeepAliveConfig]; as the constructor.
func (o SocketOption) Value() any {
	switch k := o.kind; {
	case k == noOption:
		return nil
	case k <= optV6Only:
		return o.n != 0
	case k <= optNotSentLowWater:
		return o.n
	case k <= optBusyPoll:
		return o.span
	case k <= optCongestion:
		return o.text
	}
	return net.KeepAliveConfig{Enable: o.n != 0, Idle: o.span, Interval: o.interval, Count: int(o.n)}
}

// String is name and value, such as "nodelay=on" or "user-timeout=30s".
func (o SocketOption) String() string {
	switch v := o.Value().(type) {
	case nil:
		return "none"
	case bool:
		if v {
			return o.Name() + "=on"
		}
		return o.Name() + "=off"
	case net.KeepAliveConfig:
		if !v.Enable {
			return o.Name() + "=off"
		}
		return fmt.Sprintf("%s=%v,%v,%d", o.Name(), v.Idle, v.Interval, v.Count)
	default:
		if o.kind == optLinger && o.span < 0 {
			return o.Name() + "=off"
		}
		return fmt.Sprintf("%s=%v", o.Name(), v)
	}
}

// SocketOptionError says which option a socket does not have, and for an operator why, and what would help. It wraps
// the *os.SyscallError of the kernel; or syscall.EINVAL for a value or a place that cannot be; or
// errors.ErrUnsupported for a Unix socket or a system that does not have the option.
type SocketOptionError struct {
	Option SocketOption
	Err    error
	Cure   string // or ""
}

func (e *SocketOptionError) Error() string {
	s := fmt.Sprintf("socket option %v: %v", e.Option, e.Err)
	if e.Cure != "" {
		s += "; " + e.Cure
	}
	return s
}

func (o SocketOption) failed(err error, cure string) error {
	return &SocketOptionError{Option: o, Err: err, Cure: cure}
}

// Unwrap returns the cause.
func (e *SocketOptionError) Unwrap() error { return e.Err }
