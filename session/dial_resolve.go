package session

import (
	"context"
	"net"
	"net/netip"

	"github.com/tandem-io/tandem/backend"
)

// target is what an address means: addresses that are known, or a host to be looked up.
type target struct {
	network string
	known   []backend.Address
	host    string // "" if the address is known
	service string
	local   net.Addr   // to dial from, or nil
	from    netip.Addr // its IP, if it has one
}

// parseTarget checks network, address and the local address, and asks nobody.
func parseTarget(network, address string, local net.Addr) (target, error) {
	t := target{network: network, local: local}
	if err := t.setLocal(); err != nil {
		return t, err
	}
	switch network {
	case "unix":
		if address == "" {
			return t, &net.AddrError{Err: "missing path", Addr: address}
		}
		t.known = []backend.Address{{Unix: address, Kind: backend.UnixAddress}}
		return t, nil
	case "tcp", "tcp4", "tcp6":
	default:
		return t, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return t, err
	}
	if host == "" {
		host = localHost(network)
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		t.host, t.service = host, service
		return t, nil
	}
	if !suits(network, ip) {
		return t, &net.AddrError{Err: "address does not suit " + network, Addr: address}
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), network, service)
	if err != nil {
		return t, err
	}
	ips := []netip.Addr{ip}
	if network == "tcp" && ip == netip.IPv6Unspecified() {
		ips = append(ips, netip.IPv4Unspecified()) // as in package net: the local system, by either family
	}
	t.known, err = t.addresses(ips, port)
	return t, err
}

// setLocal checks the address to dial from.
func (t *target) setLocal() error {
	switch a := t.local.(type) {
	case nil:
	case *net.TCPAddr:
		if a == nil || t.network == "unix" {
			return errMismatched(t.local)
		}
		if ip := a.AddrPort().Addr(); ip.IsValid() && !ip.IsUnspecified() {
			t.from = ip.Unmap()
		}
	case *net.UnixAddr:
		if a == nil || t.network != "unix" {
			return errMismatched(t.local)
		}
	default:
		return errMismatched(t.local)
	}
	return nil
}

// localHost is what an empty host means, as in net.Dial: the local system.
func localHost(network string) string {
	if network == "tcp6" {
		return "::"
	}
	return "0.0.0.0"
}

func suits(network string, ip netip.Addr) bool {
	v4 := ip.Unmap().Is4()
	return network == "tcp" || v4 == (network == "tcp4")
}

func tcpAddress(ip netip.Addr, port int) backend.Address {
	return backend.Address{IP: netip.AddrPortFrom(ip.Unmap(), uint16(port)), Kind: backend.TCPAddress}
}

// resolve looks the host up and returns its addresses in the order to try. It asks only for the families that the
// network names.
func (t target) resolve(ctx context.Context, r *net.Resolver) ([]backend.Address, error) {
	if r == nil {
		r = net.DefaultResolver
	}
	port, err := r.LookupPort(ctx, t.network, t.service)
	if err != nil {
		return nil, err
	}
	families := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}
	ips, err := r.LookupNetIP(ctx, families[t.network], t.host)
	if err != nil {
		return nil, err
	}
	return t.addresses(ips, port)
}

// addresses are those of ips that suit the network and the address to dial from, in the order to try: families in turn,
// the preferred one first, as RFC 8305, section 4, says.
func (t target) addresses(ips []netip.Addr, port int) ([]backend.Address, error) {
	var families [2][]netip.Addr
	first := -1
	for _, ip := range ips {
		if !suits(t.network, ip) || t.from.IsValid() && t.from.Is4() != ip.Unmap().Is4() {
			continue
		}
		family := 0
		if ip.Unmap().Is4() {
			family = 1
		}
		if first < 0 {
			first = family
		}
		families[family] = append(families[family], ip)
	}
	if first < 0 && t.from.IsValid() {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: t.local.String()}
	}
	if first < 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: t.host}
	}
	return interleave(families[first], families[1-first], port), nil
}

func interleave(a, b []netip.Addr, port int) []backend.Address {
	var out []backend.Address
	for len(a)+len(b) > 0 {
		if len(a) > 0 {
			out = append(out, tcpAddress(a[0], port))
			a = a[1:]
		}
		a, b = b, a
	}
	return out
}
