package backend

import (
	"net"
	"net/netip"
)

// AddressKind says what an Address holds.
type AddressKind uint8

// The kinds of addresses. The zero kind is that of an address that is not known.
const (
	NoAddress AddressKind = iota
	TCPAddress
	UnixAddress
)

// Address is one end of a connection, small enough to be kept with every stream.
type Address struct {
	IP   netip.AddrPort
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
	}
	return nil
}

// Unspecified is an address of the same kind and family that names nobody: for an end that is not known.
func (a Address) Unspecified() Address {
	switch {
	case a.Kind == UnixAddress:
		return Address{Kind: UnixAddress}
	case a.Kind == TCPAddress && a.IP.Addr().Is6():
		return Address{IP: netip.AddrPortFrom(netip.IPv6Unspecified(), 0), Kind: TCPAddress}
	}
	return Address{IP: netip.AddrPortFrom(netip.IPv4Unspecified(), 0), Kind: TCPAddress}
}

func interfaceName(index int) (string, error) {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return "", err
	}
	return i.Name, nil
}

func interfaceIndex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, err
	}
	return i.Index, nil
}
