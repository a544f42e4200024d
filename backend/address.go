package backend

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// AddressKind says what an Address holds.
type AddressKind uint8

// The kinds of addresses. The zero kind is that of an address that is not known.
const (
	NoAddress AddressKind = iota
	TCPAddress
	UnixAddress
	VsockAddress
)

// Address is one end of a connection, small enough to be kept with every stream.
type Address struct {
	IP   netip.AddrPort // of a vsock see FromVsock
	Unix string
	Kind AddressKind
}

// NetAddr is the address in the standard library's form, or nil if it is not known.
func (a Address) NetAddr() net.Addr {
	switch a.Kind {
	case TCPAddress:
		return net.TCPAddrFromAddrPort(a.IP)
	case UnixAddress:
		return &net.UnixAddr{Name: a.Unix, Net: "unix"}
	case VsockAddress:
		return a.vsock()
	}
	return nil
}

// Network is the network as package net names it in errors: tcp, unix or vsock.
func (a Address) Network() string {
	switch a.Kind {
	case UnixAddress:
		return "unix"
	case VsockAddress:
		return "vsock"
	}
	return "tcp"
}

// Family is the network as Control functions are told it: tcp4, tcp6, unix or vsock.
func (a Address) Family() string {
	switch {
	case a.Kind == UnixAddress, a.Kind == VsockAddress:
		return a.Network()
	case a.IP.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// Unspecified is an address of the same kind and family that names nobody: for an end that is not known.
func (a Address) Unspecified() Address {
	switch {
	case a.Kind == UnixAddress:
		return Address{Kind: UnixAddress}
	case a.Kind == VsockAddress:
		return FromVsock(&VsockAddr{CID: vsockAny})
	case a.Kind == TCPAddress && a.IP.Addr().Is6():
		return Address{IP: netip.AddrPortFrom(netip.IPv6Unspecified(), 0), Kind: TCPAddress}
	}
	return Address{IP: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), Kind: TCPAddress}
}

// zoneLife is how long the name of an interface is believed: as long as package net does.
const zoneLife = time.Minute

// zones are names of interfaces, so that a link-local peer costs no look-up of all interfaces on the loop.
var zones = zoneNames{lookUp: net.InterfaceByIndex}

type zoneNames struct {
	lookUp func(index int) (*net.Interface, error) // of tests; net.InterfaceByIndex

	mu    sync.Mutex // guards names
	names map[int]zoneEntry
}

type zoneEntry struct {
	name  string
	until time.Time
}

// name returns the name of an interface.
func (z *zoneNames) name(index int) (string, error) {
	now := time.Now()
	z.mu.Lock()
	defer z.mu.Unlock()
	if e, ok := z.names[index]; ok && now.Before(e.until) {
		return e.name, nil
	}
	i, err := z.lookUp(index)
	if err != nil {
		return "", err
	}
	if z.names == nil || len(z.names) >= 1024 { // interfaces come and go, but are few
		z.names = map[int]zoneEntry{}
	}
	z.names[index] = zoneEntry{i.Name, now.Add(zoneLife)}
	return i.Name, nil
}

func interfaceName(index int) (string, error) { return zones.name(index) }

func interfaceIndex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return i.Index, nil
}
