package session

import (
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/tandem-io/tandem/backend"
)

// BenchmarkPerSource has loops take and give back connections of different sources.
func BenchmarkPerSource(b *testing.B) {
	s := newSources(SourceLimits{MaxConns: 100, Rate: 1000})
	var loops atomic.Uint32
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		own := loops.Add(1)
		for i := uint32(0); p.Next(); i++ {
			ip := netip.AddrFrom4([4]byte{10, byte(own), byte(i >> 8), byte(i)})
			got, _ := s.take(backend.Address{Kind: backend.TCPAddress, IP: netip.AddrPortFrom(ip, 1)}, int64(i)*1000)
			if got != nil {
				s.leave(got, int64(i)*1000)
			}
		}
	})
}
