package backend

import (
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LocalAddress is getsockname(2), RemoteAddress getpeername(2). The zero Address means that the kernel did not say.
func LocalAddress(fd int) Address {
	a, _ := socketName(fd, unix.SYS_GETSOCKNAME)
	return a
}

// RemoteAddress is the address of the other end.
func RemoteAddress(fd int) Address {
	a, _ := socketName(fd, unix.SYS_GETPEERNAME)
	return a
}

// listenAddress is LocalAddress of a listener, of which nobody knows how to reach it without.
func listenAddress(fd int) (Address, error) {
	a, e := socketName(fd, unix.SYS_GETSOCKNAME)
	if e != 0 {
		return a, os.NewSyscallError("getsockname", e)
	}
	return a, nil
}

func socketName(fd int, call uintptr) (Address, syscall.Errno) {
	var sa unix.RawSockaddrAny
	size := uint32(unsafe.Sizeof(sa))
	if _, _, e := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size))); e != 0 {
		return Address{}, e
	}
	return addressIn(&sa, size), 0
}

// addressIn reads an address of size bytes as the kernel has written it.
func addressIn(sa *unix.RawSockaddrAny, size uint32) Address {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return Address{IP: netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkPort(&in.Port)), Kind: TCPAddress}
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		ip := netip.AddrFrom16(in.Addr)
		if in.Scope_id != 0 {
			ip = ip.WithZone(zoneName(in.Scope_id))
		}
		return Address{IP: netip.AddrPortFrom(ip, networkPort(&in.Port)), Kind: TCPAddress}
	case unix.AF_UNIX:
		un := (*unix.RawSockaddrUnix)(unsafe.Pointer(sa))
		n := max(int(size)-int(unsafe.Offsetof(un.Path)), 0)
		return Address{Unix: unixPath(unsafe.Slice((*byte)(unsafe.Pointer(&un.Path)), len(un.Path))[:n]), Kind: UnixAddress}
	case unix.AF_VSOCK:
		vm := (*unix.RawSockaddrVM)(unsafe.Pointer(sa))
		return FromVsock(&VsockAddr{CID: vm.Cid, Port: vm.Port})
	}
	return Address{}
}

// unixPath turns the bytes of sun_path into a name as the standard library writes it: an abstract one begins with @.
func unixPath(p []byte) string {
	if len(p) == 0 {
		return ""
	}
	if p[0] == 0 {
		return "@" + string(p[1:])
	}
	for i, c := range p {
		if c == 0 {
			return string(p[:i])
		}
	}
	return string(p)
}

func networkPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

func zoneName(scope uint32) string {
	if name, err := interfaceName(int(scope)); err == nil {
		return name
	}
	return strconv.Itoa(int(scope))
}

// sockaddr is an address in the kernel's form, and its family.
func sockaddr(a Address) (unix.Sockaddr, int) {
	if a.Kind == UnixAddress {
		return &unix.SockaddrUnix{Name: a.Unix}, unix.AF_UNIX
	}
	if a.Kind == VsockAddress {
		vm := a.vsock()
		return &unix.SockaddrVM{CID: vm.CID, Port: vm.Port}, unix.AF_VSOCK
	}
	if a.IP.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.IP.Addr().As4(), Port: int(a.IP.Port())}, unix.AF_INET
	}
	return &unix.SockaddrInet6{Addr: a.IP.Addr().As16(), Port: int(a.IP.Port()), ZoneId: scopeID(a.IP.Addr().Zone())}, unix.AF_INET6
}

func scopeID(zone string) uint32 {
	if zone == "" {
		return 0
	}
	if i, err := interfaceIndex(zone); err == nil {
		return uint32(i)
	}
	n, _ := strconv.Atoi(zone)
	return uint32(n)
}
