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
}

// parseTarget checks network and address, and asks nobody.
func parseTarget(network, address string) (target, error) {
	t := target{network: network}
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
	ip := loopback(network, host)
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			t.host, t.service = host, service
			return t, nil
		}
	}
	if !suits(network, ip) {
		return t, &net.AddrError{Err: "address does not suit " + network, Addr: address}
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), network, service)
	if err != nil {
		return t, err
	}
	t.known = []backend.Address{tcpAddress(ip, port)}
	return t, nil
}

// loopback is what an empty host means, as in net.Dial: the local system.
func loopback(network, _ string) netip.Addr {
	if network == "tcp6" {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func suits(network string, ip netip.Addr) bool {
	v4 := ip.Unmap().Is4()
	return network == "tcp" || v4 == (network == "tcp4")
}

func tcpAddress(ip netip.Addr, port int) backend.Address {
	return backend.Address{IP: netip.AddrPortFrom(ip.Unmap(), uint16(port)), Kind: backend.TCPAddress}
}

// resolve looks the host up and returns its addresses in the order to try: families in turn, the preferred one first,
// as RFC 8305, section 4, says.
func (t target) resolve(ctx context.Context) ([]backend.Address, error) {
	port, err := net.DefaultResolver.LookupPort(ctx, t.network, t.service)
	if err != nil {
		return nil, err
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.host)
	if err != nil {
		return nil, err
	}
	var families [2][]netip.Addr
	first := -1
	for _, ip := range ips {
		if !suits(t.network, ip) {
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
