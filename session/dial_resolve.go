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
	from    netip.Addr // its IP, if it has one that is not unspecified
}

// parseTarget checks network, address and the local address, and asks nobody.
func parseTarget(network, address string, local net.Addr) (target, error) {
	t := target{network: network}
	if err := t.setLocal(local); err != nil {
		return t, err
	}
	switch network {
	case "vsock":
		at, err := backend.ParseVsockToDial(address)
		if err == nil {
			t.known = []backend.Address{backend.FromVsock(at)}
		}
		return t, err
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
		host = t.localHost()
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		t.host, t.service = host, service
		return t, nil
	}
	port, err := net.DefaultResolver.LookupPort(context.Background(), network, service)
	if err != nil {
		return t, err
	}
	t.known, err = t.addresses([]netip.Addr{ip}, host, port)
	return t, err
}

// setLocal checks the address to dial from, and forgets one that says nothing.
func (t *target) setLocal(local net.Addr) error {
	switch a := local.(type) {
	case nil:
		return nil
	case *net.TCPAddr:
		if !isTCP(t.network) {
			return errMismatched(local)
		}
		if a == nil {
			return nil
		}
		if ip := a.AddrPort().Addr().Unmap(); ip.IsValid() && !ip.IsUnspecified() {
			t.from = ip
		}
	case *net.UnixAddr:
		if t.network != "unix" || a != nil && a.Net != "" && a.Net != "unix" {
			return errMismatched(local)
		}
		if a == nil || a.Name == "" {
			return nil
		}
	case *backend.VsockAddr:
		if t.network != "vsock" {
			return errMismatched(local)
		}
		if a == nil {
			return nil
		}
	default:
		return errMismatched(local)
	}
	t.local = local
	return nil
}

// localHost is what an empty host means, as in net.Dial: the local system.
func (t *target) localHost() string {
	if t.network == "tcp6" || t.from.Is6() {
		return "::"
	}
	return "0.0.0.0"
}

// suits reports whether the network has ip, and ip can be dialled from the local address.
func (t *target) suits(ip netip.Addr) bool {
	v4 := ip.Unmap().Is4()
	return (t.network == "tcp" || v4 == (t.network == "tcp4")) && (!t.from.IsValid() || v4 == t.from.Is4())
}

func tcpAddress(ip netip.Addr, port int) backend.Address {
	return backend.Address{IP: netip.AddrPortFrom(ip.Unmap(), uint16(port)), Kind: backend.TCPAddress}
}

// resolve looks the host up and returns its addresses in the order to try. It asks only for the families that the
// network names.
func (t *target) resolve(ctx context.Context, r *net.Resolver) ([]backend.Address, error) {
	port, err := r.LookupPort(ctx, t.network, t.service)
	if err != nil {
		return nil, err
	}
	families := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}
	ips, err := r.LookupNetIP(ctx, families[t.network], t.host)
	if err != nil {
		return nil, err
	}
	return t.addresses(ips, t.host, port)
}

// addresses are those of ips that suit, in the order to try: families in turn, the preferred one first, as RFC 8305,
// section 4, says. An unspecified IPv6 address means the local system, which may be reached by IPv4 only, as in net.
func (t *target) addresses(ips []netip.Addr, host string, port int) ([]backend.Address, error) {
	if len(ips) == 1 && ips[0] == netip.IPv6Unspecified() {
		ips = append(ips, netip.IPv4Unspecified())
	}
	var families [2][]netip.Addr
	first := -1
	for _, ip := range ips {
		if !t.suits(ip) {
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
		host = t.local.String()
	}
	if first < 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: host}
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
