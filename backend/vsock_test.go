package backend_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

func TestVsockAddresses(t *testing.T) {
	for _, c := range []struct {
		text         string
		listen, dial backend.VsockAddr
		shown        string // as an address to listen at
	}{
		{"any:1024", backend.VsockAddr{CID: 1<<32 - 1, Port: 1024}, backend.VsockAddr{CID: 1, Port: 1024}, "any:1024"},
		{":1024", backend.VsockAddr{CID: 1<<32 - 1, Port: 1024}, backend.VsockAddr{CID: 1, Port: 1024}, "any:1024"},
		{"local:0", backend.VsockAddr{CID: 1}, backend.VsockAddr{CID: 1}, "local:0"},
		{"host:4294967295", backend.VsockAddr{CID: 2, Port: 1<<32 - 1}, backend.VsockAddr{CID: 2, Port: 1<<32 - 1}, "host:4294967295"},
		{"hypervisor:1", backend.VsockAddr{Port: 1}, backend.VsockAddr{Port: 1}, "hypervisor:1"},
		{"2:1", backend.VsockAddr{CID: 2, Port: 1}, backend.VsockAddr{CID: 2, Port: 1}, "host:1"},
		{"77:1", backend.VsockAddr{CID: 77, Port: 1}, backend.VsockAddr{CID: 77, Port: 1}, "77:1"},
	} {
		listen, err := backend.ParseVsockToListen(c.text)
		require.NoError(t, err, c.text)
		assert.Equal(t, &c.listen, listen, c.text)
		dial, err := backend.ParseVsockToDial(c.text)
		require.NoError(t, err, c.text)
		assert.Equal(t, &c.dial, dial, c.text)
		assert.Equal(t, c.shown, listen.String())
		again, err := backend.ParseVsockToListen(listen.String())
		require.NoError(t, err)
		assert.Equal(t, listen, again, "String is what Listen takes")

		kept := backend.FromVsock(listen)
		assert.Equal(t, listen, kept.NetAddr())
		assert.Equal(t, "vsock", kept.Family())
		assert.Equal(t, "vsock", kept.Network())
		assert.Equal(t, "any:0", kept.Unspecified().NetAddr().String())
	}
	for _, bad := range []string{"", "1024", "any", "any:", "any:x", "any:-1", "any:4294967296", "4294967296:1", "nobody:1", "1:2:3"} {
		_, err := backend.ParseVsockToDial(bad)
		var wrong *net.AddrError
		assert.ErrorAs(t, err, &wrong, bad)
	}
	assert.Equal(t, &backend.VsockAddr{CID: 1<<32 - 1, Port: 1<<32 - 1}, backend.BindToVsock(&backend.VsockAddr{}).NetAddr())
	assert.Equal(t, "<nil>", (*backend.VsockAddr)(nil).String())
}
