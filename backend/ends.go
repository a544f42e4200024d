package backend

import "net/netip"

// Ends are the addresses of both ends of a connection, in less than half of the memory of two Addresses. The zero value is
// that of ends that are not known.
type Ends struct {
	local, remote packedIP
	names         *[2]string // the path of a Unix socket, or the zone of an IP address, of each end; nil: both are empty
}

// packedIP is an Address without its name.
type packedIP struct {
	ip   [16]byte
	port uint16
	kind AddressKind
	bits uint8 // of the address: 32, of which ip ends with four bytes, or 128; 0: there is none
}

// NewEnds packs two addresses.
func NewEnds(local, remote Address) Ends {
	e := Ends{local: packIP(local), remote: packIP(remote)}
	if l, r := local.name(), remote.name(); l != "" || r != "" {
		e.names = &[2]string{l, r}
	}
	return e
}

// Local is the address of this end.
func (e *Ends) Local() Address { return e.local.unpack(e.name(0)) }

// Remote is the address of the other end.
func (e *Ends) Remote() Address { return e.remote.unpack(e.name(1)) }

// IsUnix reports whether the connection is one of Unix sockets.
func (e *Ends) IsUnix() bool { return e.remote.kind == UnixAddress }

func (e *Ends) name(i int) string {
	if e.names == nil {
		return ""
	}
	return e.names[i]
}

// name is what of an address is not of a fixed size.
func (a Address) name() string {
	if a.Kind == UnixAddress {
		return a.Unix
	}
	return a.IP.Addr().Zone()
}

func packIP(a Address) packedIP {
	p := packedIP{kind: a.Kind, port: a.IP.Port()}
	if ip := a.IP.Addr(); ip.IsValid() {
		p.ip, p.bits = ip.As16(), uint8(ip.BitLen())
	}
	return p
}

func (p packedIP) unpack(name string) Address {
	switch p.kind {
	case NoAddress:
		return Address{}
	case UnixAddress:
		return Address{Kind: UnixAddress, Unix: name}
	}
	var ip netip.Addr
	if p.bits > 0 {
		ip = netip.AddrFrom16(p.ip)
	}
	if p.bits == 32 {
		ip = ip.Unmap()
	}
	return Address{Kind: p.kind, IP: netip.AddrPortFrom(ip.WithZone(name), p.port)}
}
