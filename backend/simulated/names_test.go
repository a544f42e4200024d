package simulated_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
)

func TestNames(t *testing.T) {
	k := simulated.New(simulated.Config{})
	four, six := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	k.Name("both.test", six, four)
	k.Name("four.test", four)
	r := k.Resolver()
	got, err := r.LookupNetIP(t.Context(), "ip", "both.test.")
	require.NoError(t, err)
	require.ElementsMatch(t, []netip.Addr{four, six}, got)
	got, err = r.LookupNetIP(t.Context(), "ip4", "four.test.")
	require.NoError(t, err)
	require.Equal(t, []netip.Addr{four}, got)
	_, err = r.LookupNetIP(t.Context(), "ip", "none.test.")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)
}

// TestDialByName has the first address of a name answer nobody, so that the second one wins.
func TestDialByName(t *testing.T) {
	kinds(t, func(t *testing.T, completions bool) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, completions, simulated.Config{Settle: synctest.Wait, Pass: time.Sleep})
			silent, err := w.k.Listen("tcp", "[2001:db8::7]:80")
			require.NoError(t, err)
			silent.Silent(true)
			server, err := w.k.Listen("tcp", "192.0.2.7:80")
			require.NoError(t, err)
			w.k.Name("both.test", netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("192.0.2.7"))
			h := &echo{}
			o := &session.DialOptions{Resolver: w.k.Resolver()}
			_, err = w.e.Connect("tcp", "both.test.:80", h, o)
			require.NoError(t, err)
			w.until("a connection", func() bool { return len(server.Peers()) == 1 && h.opened == 1 })
			server.Peers()[0].Close()
			w.until("the end", func() bool { return h.closed == 1 })
			require.NoError(t, w.e.Close())
			require.Zero(t, w.k.OpenDescriptors())
		})
	})
}
