package backend

import (
	"net/netip"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
)

// TestEnds packs addresses of every kind and form, and gets them back.
func TestEnds(t *testing.T) {
	all := []Address{
		{},
		{Kind: UnixAddress},
		{Kind: UnixAddress, Unix: "/run/x.sock"},
		{Kind: UnixAddress, Unix: "@abstract\x00name"},
		FromVsock(&VsockAddr{CID: 3, Port: 1<<32 - 1}),
		Address{}.Unspecified(),
		{Kind: TCPAddress}, // as of a net.TCPAddr without an IP
		{Kind: TCPAddress, IP: netip.AddrPortFrom(netip.Addr{}, 80)},
	}
	for _, ip := range []string{"1.2.3.4:80", "[::ffff:1.2.3.4]:80", "[2001:db8::1]:65535", "[fe80::1%eth0]:1", "[::ffff:1.2.3.4%eth0]:1", "0.0.0.0:0", "[::]:0"} {
		all = append(all, Address{Kind: TCPAddress, IP: netip.MustParseAddrPort(ip)})
	}
	for _, local := range all {
		for _, remote := range all {
			e := NewEnds(local, remote)
			assert.Equal(t, local, e.Local())
			assert.Equal(t, remote, e.Remote())
			assert.Equal(t, remote.Kind == UnixAddress, e.IsUnix())
		}
	}
	if strconv.IntSize == 64 {
		assert.LessOrEqual(t, int(unsafe.Sizeof(Ends{})), 48)
	}
	ip := all[len(all)-1]
	assert.Zero(t, testing.AllocsPerRun(100, func() { e := NewEnds(ip, ip); ip = e.Local() }))
}
