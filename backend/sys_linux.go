package backend

import (
	"os"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below are made with RawSyscall: they cannot block, because every descriptor is non-blocking, and the
// scheduler-aware way would cost a microsecond or two each, when sysmon takes the processor back.

// Recv receives into p: recv(2). It returns 0 at the end of the stream, and EAGAIN if there is nothing.
func Recv(fd int, p []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// Send sends from p: send(2), without SIGPIPE. It may take fewer bytes than there are, and returns EAGAIN for none.
func Send(fd int, p []byte) (int, error) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// Vector is the memory of one vectored send: what sendmsg(2) reads by address. It must stay where it is, and
// reachable, until the kernel is done with it.
type Vector struct {
	Header unix.Msghdr
	iov    [MaxVector]unix.Iovec
	held   [MaxVector][]byte // keeps the bytes reachable
	n      int
}

// Set points the vector at bufs, at most MaxVector of them, and returns how many bytes that is.
func (v *Vector) Set(bufs [][]byte) int {
	total := 0
	for i, b := range bufs[:min(len(bufs), MaxVector)] {
		v.held[i] = b
		v.iov[i].Base = unsafe.SliceData(b)
		v.iov[i].SetLen(len(b))
		v.n = i + 1
		total += len(b)
	}
	v.Header.Iov = &v.iov[0]
	v.Header.SetIovlen(v.n)
	return total
}

// Clear forgets the bytes.
func (v *Vector) Clear() {
	clear(v.held[:v.n])
	clear(v.iov[:v.n])
	v.n = 0
}

var vectors = sync.Pool{New: func() any { return new(Vector) }}

// NewVector returns a Vector out of a pool; FreeVector gives it back.
func NewVector() *Vector { return vectors.Get().(*Vector) }

// FreeVector gives a Vector back that the kernel is done with.
func FreeVector(v *Vector) {
	if poisoning {
		v.poison()
	} else {
		v.Clear()
	}
	vectors.Put(v)
}

// poison points the vector at poison, which a kernel that is not done with it would send.
func (v *Vector) poison() {
	clear(v.held[:v.n])
	for i := range v.iov[:v.n] {
		e := &v.iov[i]
		e.Base = unsafe.SliceData(poisoned)
		e.SetLen(min(int(e.Len), len(poisoned)))
	}
	v.n = 0
}

// SendVector is Send for several slices: sendmsg(2).
func SendVector(fd int, bufs [][]byte) (int, error) {
	if len(bufs) == 1 {
		return Send(fd, bufs[0])
	}
	v := NewVector()
	defer FreeVector(v)
	v.Set(bufs)
	for {
		n, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.Header)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if e == 0 {
			return int(n), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// Accept takes one connection from a listener's backlog, or returns EAGAIN: accept4(2).
func Accept(fd int) (int, error) {
	n, _, err := AcceptFrom(fd)
	return n, err
}

// AcceptFrom is Accept, and returns the peer's address, which is that of a connection even if it was reset since.
func AcceptFrom(fd int) (int, Address, error) {
	var sa unix.RawSockaddrAny
	for {
		size := uint32(unsafe.Sizeof(sa))
		n, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e == 0 {
			return int(n), addressIn(&sa, size), nil
		}
		if e != unix.EINTR {
			return -1, Address{}, e
		}
	}
}

// AcceptShared is AcceptFrom for a socket whose open file others have too, such as a child process: they may have made
// it blocking, as os/exec does. It looks before it accepts, and makes the file non-blocking again. Where somebody makes
// it blocking and another process takes the connection in between, it waits, and the scheduler knows that it does.
func AcceptShared(fd int) (int, Address, error) {
	// A socket that does not listen any longer hangs up, and accept4(2) says so without waiting.
	switch is, err := poll(fd, unix.POLLIN|unix.POLLHUP|unix.POLLERR); {
	case err != nil: // without knowing it must not wait, and an accept that never comes would be asked for again and again
		return -1, Address{}, err
	case !is:
		return -1, Address{}, unix.EAGAIN
	}
	if isBlocking(fd) {
		_ = unix.SetNonblock(fd, true)
	}
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	n, _, e := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
	switch e {
	case 0:
		return int(n), addressIn(&sa, size), nil
	case unix.EINTR:
		e = unix.EAGAIN
	}
	return -1, Address{}, e
}

// isBlocking reports whether calls on a file wait. They do for all who have the open file, whoever of them has set that.
func isBlocking(fd int) bool {
	flags, _, e := unix.RawSyscall(unix.SYS_FCNTL, uintptr(fd), unix.F_GETFL, 0)
	return e == 0 && flags&unix.O_NONBLOCK == 0
}

// discard drops what the kernel has received, up to limit bytes.
func discard(fd, limit int) {
	scratch := scratchBuffer()
	defer freeScratch(scratch)
	for limit > 0 {
		n, err := Recv(fd, *scratch)
		if n <= 0 || err != nil {
			return
		}
		limit -= n
	}
}

var scratches = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func scratchBuffer() *[]byte { return scratches.Get().(*[]byte) }
func freeScratch(b *[]byte)  { scratches.Put(b) }

// rawShutdown is shutdown(2).
func rawShutdown(fd, how int) error {
	if _, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), uintptr(how), 0); e != 0 {
		return e
	}
	return nil
}

// CloseFD closes a descriptor. The error has no consequence: on Linux the descriptor is gone in any case, close(2).
func CloseFD(fd int) { _ = closeFD(fd) }

// closeFD is CloseFD, and reports whether a seccomp filter has refused it, so that the descriptor stays.
func closeFD(fd int) (refused bool) {
	_, _, e := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return e == unix.EPERM || e == unix.EACCES || e == unix.ENOSYS
}

// resetOnClose makes close(2) drop what is unsent and send RST: SO_LINGER of zero, socket(7). Where a seccomp filter
// refuses that, it sends RST at once: what the peer has received must not look like all there was.
func resetOnClose(fd int) {
	if unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 0}) != nil {
		disconnect(fd)
	}
}

// disconnect resets a TCP connection, and drops what is unsent: connect(2) to AF_UNSPEC. Other sockets are left alone.
func disconnect(fd int) {
	none := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	_, _, _ = unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), unsafe.Sizeof(none))
}

// TakeError returns and clears the pending error of a socket: SO_ERROR, socket(7).
func TakeError(fd int) error {
	e, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if e != 0 {
		return syscall.Errno(e)
	}
	return nil
}

// maxErrors is how many entries of an error queue DrainErrors drops at a time.
const maxErrors = 1 << 10

// DrainErrors drops what is in a socket's error queue, where the kernel puts the timestamps of sent data that
// SO_TIMESTAMPING asks for, and reports whether there was something. Until it is dropped poll(2) reports POLLERR: a
// driver that was told of an error calls this, and then asks HasError whether the connection has one, too. At most
// 1024 entries go at a time. It leaves sockets alone that have no error queue, Unix ones among them: they would take
// MSG_ERRQUEUE for an ordinary receive, and lose bytes.
func DrainErrors(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_INET && domain != unix.AF_INET6 {
		return false
	}
	for n := range maxErrors {
		if !dropError(fd) {
			return n > 0
		}
	}
	return true
}

// dropError takes one entry from the error queue: recv(2) with MSG_ERRQUEUE. The result is the size of the packet that
// the entry is about, which may be 0.
func dropError(fd int) bool {
	for {
		_, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 0, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT, 0, 0)
		if e != unix.EINTR {
			return e == 0
		}
	}
}

// isStream reports whether a descriptor is a stream socket, as those of TCP are, and some Unix ones: SO_TYPE, socket(7).
func isStream(fd int) bool {
	t, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && t == unix.SOCK_STREAM
}

// HasError reports whether a socket has a pending error, without clearing it.
func HasError(fd int) bool { return ready(fd, unix.POLLERR) }

// hasInput reports whether there is something to receive.
func hasInput(fd int) bool { return ready(fd, unix.POLLIN) }

// ready reports whether poll(2) says so.
func ready(fd int, event int16) bool {
	is, err := poll(fd, event)
	return err == nil && is
}

// poll is poll(2) without waiting. It fails only where a seccomp filter refuses it.
func poll(fd int, event int16) (bool, error) {
	p := [1]unix.PollFd{{Fd: int32(fd), Events: event}}
	_, err := unix.Poll(p[:], 0)
	if err == unix.EINTR { // nothing was ready
		return false, nil
	}
	return p[0].Revents&event != 0, err
}

// setNoDelay sets TCP_NODELAY, tcp(7). Sockets that are not TCP are left alone.
func setNoDelay(fd int) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err == unix.EOPNOTSUPP || err == unix.ENOPROTOOPT {
		return nil
	}
	return err
}

// setKeepAlive switches TCP keep-alive on with the standard library's defaults: idle 15 s, interval 15 s, 9 probes.
func setKeepAlive(fd int) error {
	for _, o := range [...][3]int{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1}, {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
	} {
		// Older kernels do not have all of them on sockets of MPTCP.
		if err := unix.SetsockoptInt(fd, o[0], o[1], o[2]); err != nil && err != unix.EOPNOTSUPP && err != unix.ENOPROTOOPT {
			return err
		}
	}
	return nil
}

// setReusePort sets SO_REUSEPORT: several sockets share one address, and the kernel spreads connections over them.
func setReusePort(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }

// Duplicate returns another descriptor for the same open file, close-on-exec, and makes the file non-blocking.
func Duplicate(fd int) (int, error) {
	n, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("fcntl", err)
	}
	if err := unix.SetNonblock(n, true); err != nil {
		CloseFD(n)
		return -1, os.NewSyscallError("fcntl", err)
	}
	return n, nil
}

// closeOnExec keeps a descriptor from children.
func closeOnExec(fd int) { unix.CloseOnExec(fd) }

// isListening reports whether fd is a stream socket that listens: SO_ACCEPTCONN, socket(7).
func isListening(fd int) bool {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_STREAM {
		return false
	}
	on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && on != 0
}

// pinThread locks the goroutine to its thread and binds that to one CPU: sched_setaffinity(2). unpin undoes both. From
// another goroutine it gives the thread its CPUs back, if there still is that thread, and leaves the lock alone.
func pinThread(cpu int) (unpin func(), err error) {
	var before, set unix.CPUSet
	set.Set(cpu)
	runtime.LockOSThread()
	if err = unix.SchedGetaffinity(0, &before); err == nil {
		err = unix.SchedSetaffinity(0, &set)
	}
	if err != nil {
		runtime.UnlockOSThread()
		return nil, err
	}
	tid := unix.Gettid()
	return func() {
		here := unix.Gettid() == tid
		if !here && unix.Tgkill(unix.Getpid(), tid, 0) != nil {
			return // the thread has ended, and its number may be another process's
		}
		// A thread that cannot have its CPUs back stays locked, so that it ends with its goroutine and serves no other.
		if unix.SchedSetaffinity(tid, &before) == nil && here {
			runtime.UnlockOSThread()
		}
	}, nil
}

// Kernel is the running kernel's release, as uname(2) tells it.
func Kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return runtime.GOOS
	}
	return unix.ByteSliceToString(u.Release[:])
}

// voluntarySwitches is how often threads of this process have slept: getrusage(2). 0: the kernel refuses to tell.
func voluntarySwitches() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return int64(u.Nvcsw) // 32 bits wide on some
}
