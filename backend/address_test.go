package backend

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestZoneNamesAreRemembered counts how often the interfaces are looked at.
func TestZoneNamesAreRemembered(t *testing.T) {
	asked := 0
	z := zoneNames{lookUp: func(index int) (*net.Interface, error) {
		asked++
		if index == 9 {
			return nil, errors.New("no such interface")
		}
		return &net.Interface{Index: index, Name: "eth" + string(rune('0'+index))}, nil
	}}
	for range 100 {
		for index := 1; index <= 3; index++ {
			name, err := z.name(index)
			require.NoError(t, err)
			assert.Equal(t, "eth"+string(rune('0'+index)), name)
		}
	}
	assert.Equal(t, 3, asked, "look-ups of three interfaces")
	_, err := z.name(9)
	assert.Error(t, err)
	for index := 10; index < 5000; index++ {
		_, _ = z.name(index)
	}
	assert.LessOrEqual(t, len(z.names), 1024)
}

// TestUnspecified has addresses for ends that are not known.
func TestUnspecified(t *testing.T) {
	v4 := Address{IP: netip.MustParseAddrPort("1.2.3.4:5"), Kind: TCPAddress}
	v6 := Address{IP: netip.MustParseAddrPort("[fe80::1%eth0]:5"), Kind: TCPAddress}
	for want, a := range map[string]Address{"0.0.0.0:0": v4, "[::]:0": v6, "": {Kind: UnixAddress, Unix: "/x"}} {
		require.NotNil(t, a.Unspecified().NetAddr())
		assert.Equal(t, want, a.Unspecified().NetAddr().String())
	}
	assert.NotNil(t, Address{}.Unspecified().NetAddr())
}
