package backend

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// VsockAddr is the address of a vsock, by which virtual machines and their host talk: vsock(7). Package net has none.
//
// As text it is "CID:PORT", with numbers, or a word in place of the CID: any (4294967295, to listen on: every CID of this
// machine), hypervisor (0), local (1, this machine) and host (2, the one that runs this virtual machine).
type VsockAddr struct {
	CID  uint32 // the machine
	Port uint32
}

// The CIDs with a meaning: vsock(7).
const (
	vsockAny        = 1<<32 - 1
	vsockHypervisor = 0
	vsockLocal      = 1
	vsockHost       = 2

	vsockAnyPort = 1<<32 - 1
)

var vsockWords = map[string]uint32{"any": vsockAny, "hypervisor": vsockHypervisor, "local": vsockLocal, "host": vsockHost}

// Network implements net.Addr: "vsock".
func (*VsockAddr) Network() string { return "vsock" }

// String implements net.Addr. Listen and Dial take what it returns.
func (a *VsockAddr) String() string {
	if a == nil {
		return "<nil>"
	}
	port := strconv.FormatUint(uint64(a.Port), 10)
	for word, cid := range vsockWords {
		if cid == a.CID {
			return word + ":" + port
		}
	}
	return strconv.FormatUint(uint64(a.CID), 10) + ":" + port
}

// ParseVsock reads an address as VsockAddr describes it. An empty CID is absent.
func ParseVsock(address string, absent uint32) (*VsockAddr, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 32)
	if err != nil {
		return nil, &net.AddrError{Err: "the port of a vsock is a number below 4294967296", Addr: address}
	}
	if host == "" {
		return &VsockAddr{CID: absent, Port: uint32(port)}, nil
	}
	cid, ok := vsockWords[host]
	if !ok {
		n, err := strconv.ParseUint(host, 10, 32)
		if err != nil {
			return nil, &net.AddrError{Err: "the CID of a vsock is a number, or any, local, host or hypervisor", Addr: address}
		}
		cid = uint32(n)
	}
	return &VsockAddr{CID: cid, Port: uint32(port)}, nil
}

// ParseVsockToListen is ParseVsock, where an empty CID is any.
func ParseVsockToListen(address string) (*VsockAddr, error) { return ParseVsock(address, vsockAny) }

// ParseVsockToDial is ParseVsock, where an empty CID and any are this machine.
func ParseVsockToDial(address string) (*VsockAddr, error) {
	a, err := ParseVsock(address, vsockLocal)
	if err == nil && a.CID == vsockAny {
		a.CID = vsockLocal
	}
	return a, err
}

// FromVsock is a in the form in which addresses are kept: in the bytes of an IP address, which a vsock has none of.
func FromVsock(a *VsockAddr) Address {
	var b [16]byte
	binary.BigEndian.PutUint32(b[:], a.CID)
	binary.BigEndian.PutUint32(b[4:], a.Port)
	return Address{IP: netip.AddrPortFrom(netip.AddrFrom16(b), 0), Kind: VsockAddress}
}

// BindToVsock is FromVsock for the end that a socket is bound to: without a CID it is any, and without a port the kernel chooses
// one.
func BindToVsock(a *VsockAddr) Address {
	own := *a
	if own.CID == vsockHypervisor {
		own.CID = vsockAny
	}
	if own.Port == 0 {
		own.Port = vsockAnyPort
	}
	return FromVsock(&own)
}

// vsock is the address of a vsock that FromVsock was given.
func (a Address) vsock() *VsockAddr {
	b := a.IP.Addr().As16()
	return &VsockAddr{CID: binary.BigEndian.Uint32(b[:]), Port: binary.BigEndian.Uint32(b[4:])}
}
