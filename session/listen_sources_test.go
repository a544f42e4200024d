package session

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

func addressOf(ip string) backend.Address {
	return backend.Address{Kind: backend.TCPAddress, IP: netip.AddrPortFrom(netip.MustParseAddr(ip), 1000)}
}

// TestSourcesOfAddresses says which addresses are one source.
func TestSourcesOfAddresses(t *testing.T) {
	for _, c := range []struct {
		o    SourceLimits
		a, b string
		one  bool
	}{
		{SourceLimits{}, "10.0.0.1", "10.0.0.1", true},
		{SourceLimits{}, "10.0.0.1", "10.0.0.2", false},
		{SourceLimits{}, "10.0.0.1", "::ffff:10.0.0.1", true},
		{SourceLimits{IPv4Prefix: 24}, "10.0.0.1", "10.0.0.254", true},
		{SourceLimits{IPv4Prefix: 24}, "10.0.0.1", "::ffff:10.0.0.254", true},
		{SourceLimits{IPv4Prefix: 24}, "10.0.0.1", "10.0.1.1", false},
		{SourceLimits{IPv4Prefix: 1}, "10.0.0.1", "127.0.0.1", true},
		{SourceLimits{}, "2001:db8::1", "2001:db8::ffff:1", true},
		{SourceLimits{}, "2001:db8::1", "2001:db8:0:1::1", false},
		{SourceLimits{IPv6Prefix: 128}, "2001:db8::1", "2001:db8::2", false},
		{SourceLimits{IPv6Prefix: 48}, "2001:db8::1", "2001:db8:0:1::1", true},
		{SourceLimits{}, "fe80::1%eth0", "fe80::2%eth1", true},
		{SourceLimits{}, "::1", "127.0.0.1", false},
	} {
		c.o.MaxConns = 1
		s := newSources(c.o)
		assert.Equal(t, c.one, s.keyOf(addressOf(c.a)) == s.keyOf(addressOf(c.b)), "%s and %s with %+v", c.a, c.b, c.o)
	}
	s := newSources(SourceLimits{MaxConns: 1})
	assert.Equal(t, sourceKey{}, s.keyOf(backend.Address{}), "an address that is not known")
}

// TestSourceRate compares what is accepted at random times with a bucket of tokens.
func TestSourceRate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		o := SourceLimits{Rate: math.Exp(r.Float64()*20 - 10), Burst: 1 + r.IntN(20)}
		s := newSources(o)
		a, now := addressOf("10.0.0.1"), int64(1)
		tokens, last := float64(o.Burst), now
		for i := range 200 {
			now += int64(r.Float64() * 2 * float64(time.Second) / o.Rate)
			tokens = min(tokens+float64(now-last)*o.Rate/1e9, float64(o.Burst))
			last = now
			got, limit := s.take(a, now)
			if math.Abs(tokens-1) > 1e-6 { // else it is a matter of rounding
				require.Equal(t, tokens >= 1, limit == "", "connection %d with %+v at %d ns: %g tokens", i, o, now, tokens)
			}
			if limit == "" {
				tokens--
				s.leave(got, now)
			}
		}
	}
}

func TestSourceRateOfExtremes(t *testing.T) {
	for _, o := range []SourceLimits{{Rate: 1e-300, Burst: math.MaxInt}, {Rate: 1e300, Burst: math.MaxInt}, {Rate: 1e-300}, {Rate: 5e-324, Burst: 2}} {
		s := newSources(o)
		for range 2 {
			for range max(min(o.Burst, 2), 1) {
				got, limit := s.take(addressOf("::1"), 1<<60)
				require.Empty(t, limit, "%+v", o)
				s.leave(got, 1<<60)
			}
			s = newSources(o)
		}
	}
}

// size is how many sources the table holds.
func (t *sources) size() (n int) {
	for i := range t.shards {
		n += len(t.shards[i].all)
	}
	return n
}

// TestSourcesAreBounded has many sources come and go, fewer than are remembered and more, and then nothing for long.
func TestSourcesAreBounded(t *testing.T) {
	const many = 20_000
	s := newSources(SourceLimits{Rate: 1, Sources: 1000})
	now := int64(1)
	from := func(i int) backend.Address {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], uint32(i))
		return backend.Address{Kind: backend.TCPAddress, IP: netip.AddrPortFrom(netip.AddrFrom4(ip), 0)}
	}
	var open []*source
	for i := range many {
		got, limit := s.take(from(i), now)
		require.Empty(t, limit)
		if i < 500 {
			open = append(open, got)
			continue
		}
		s.leave(got, now)
		require.LessOrEqual(t, s.size(), 500+1000+sourceShards, "sources after %d", i)
	}
	_, limit := s.take(from(many-1), now)
	assert.Equal(t, "Rate", limit, "the last is remembered")
	got, limit := s.take(from(600), now)
	assert.Empty(t, limit, "one of the first is forgotten")
	s.leave(got, now)
	for _, o := range open {
		s.leave(o, now)
	}
	now += int64(time.Hour)
	for i := range 2000 {
		got, _ := s.take(from(many+i), now)
		s.leave(got, now)
	}
	later := s.size()
	assert.LessOrEqual(t, later, 1000+sourceShards)

	s = newSources(SourceLimits{MaxConns: 1})
	for i := range many {
		got, _ := s.take(from(i), now)
		s.leave(got, now)
	}
	assert.Zero(t, s.size(), "without a rate nothing is to be remembered")
}

// live is how many connections the sources of a listener have.
func live(l *listener) (n int) {
	for i := range l.sources.shards {
		for _, s := range l.sources.shards[i].all {
			n += int(s.live)
		}
	}
	return n
}

// comes has a connection from an address be accepted, and returns its socket.
func (s *stage) comes(l *listener, ip string) backend.Descriptor {
	fd := s.connection()
	l.listenSockets()[0].Accepted(fd, addressOf(ip), nil)
	s.turn()
	return fd
}

func (s *stage) listenPerSource(o ListenOptions) *listener {
	s.Helper()
	l, err := s.engine.Listen("tcp", "", BaseHandler{}, &o)
	require.NoError(s, err)
	s.turn()
	return l.(*listener)
}

// TestPerSource has sources with too many connections, and with too many in a second, on a clock that the test moves.
func TestPerSource(t *testing.T) {
	s := newStage(t, 2)
	l := s.listenPerSource(ListenOptions{PerSource: SourceLimits{MaxConns: 2, Rate: 0.5, Burst: 3}})
	rejects := func(fd backend.Descriptor, why string) {
		t.Helper()
		assert.Equal(t, backend.Closing{Reset: true}, s.of(fd).how, why)
	}
	accepts := func(fd backend.Descriptor, why string) {
		t.Helper()
		assert.False(t, s.of(fd).closed, why)
	}
	accepts(s.comes(l, "10.0.0.1"), "the first")
	accepts(s.comes(l, "10.0.0.1"), "the second")
	rejects(s.comes(l, "10.0.0.1"), "more than MaxConns")
	assert.Contains(t, s.log.String(), "option=PerSource.MaxConns")
	accepts(s.comes(l, "10.0.0.2"), "another source")
	assert.EqualValues(t, 1, l.Stats().SourceRejected)
	assert.Equal(t, 3, l.Stats().Streams)
	assert.EqualValues(t, 3, l.Stats().Accepted)

	all := append([]*Stream(nil), s.engine.loops[0].streams...)
	for _, one := range append(all, s.engine.loops[1].streams...) {
		require.NoError(t, one.Abort())
	}
	s.turn()
	require.Zero(t, live(l))
	accepts(s.comes(l, "10.0.0.1"), "the third of its burst: what MaxConns has refused does not count")
	rejects(s.comes(l, "10.0.0.1"), "more than Burst")
	s.clock.advance(2*time.Second - 1)
	rejects(s.comes(l, "10.0.0.1"), "before the first comes back")
	s.clock.advance(1)
	accepts(s.comes(l, "10.0.0.1"), "one has come back")
	assert.EqualValues(t, 3, l.Stats().SourceRejected)
	require.NoError(t, l.Close())
	require.NoError(t, s.engine.Close())
	assert.Zero(t, live(l))
}

// TestPerSourceLogsOnceASecond rejects many.
func TestPerSourceLogsOnceASecond(t *testing.T) {
	s := newStage(t, 1)
	l := s.listenPerSource(ListenOptions{PerSource: SourceLimits{MaxConns: 1}})
	s.comes(l, "10.0.0.1")
	for range 10 {
		s.comes(l, "10.0.0.1")
	}
	const message = "their source has too many"
	assert.Equal(t, 1, strings.Count(s.log.String(), message))
	s.clock.advance(time.Second)
	s.comes(l, "10.0.0.1")
	assert.Equal(t, 2, strings.Count(s.log.String(), message))
	assert.Contains(t, s.log.String(), "skipped=9\n", "how many were not logged")
	require.NoError(t, s.engine.Close())
}

// TestPerSourceCountsEveryEnd has connections end in all ways in which they can: nothing is left of any.
func TestPerSourceCountsEveryEnd(t *testing.T) {
	limits := SourceLimits{MaxConns: 5}
	for name, end := range map[string]func(*stage, *listener){
		"closed by the shutdown": func(s *stage, l *listener) { s.comes(l, "::1") },
		"parked in a pause":      func(s *stage, l *listener) { l.PauseAccept(); s.comes(l, "::1"); require.Equal(s, 1, live(l)) },
		"options refused": func(s *stage, l *listener) {
			s.refuse = syscall.EPERM
			s.comes(l, "::1")
			s.refuse = nil
			assert.Zero(s, live(l))
		},
		"above MaxConns": func(s *stage, l *listener) {
			l.max, l.reject = 1, true
			s.comes(l, "::1")
			s.comes(l, "::2")
			assert.Equal(s, 1, live(l))
		},
		"parked, and the loop dies": func(s *stage, l *listener) {
			l.max = 1
			s.comes(l, "::1")
			s.comes(l, "::1")
			require.Equal(s, 2, live(l))
			s.kill(l.listenSockets()[0].loop, syscall.EIO)
			s.turn()
		},
		"accepted in the shutdown": func(s *stage, l *listener) {
			fd := s.connection()
			s.engine.loops[0].draining = true
			l.listenSockets()[0].Accepted(fd, addressOf("::1"), nil)
			s.turn()
			s.engine.loops[0].draining = false
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, 2)
			l := s.listenPerSource(ListenOptions{PerSource: limits, Socket: []backend.SocketOption{backend.SendBuffer(1 << 10)}})
			end(s, l)
			require.NoError(t, l.Close())
			for _, loop := range s.engine.loops {
				loop.each(func(one *Stream) { _ = one.Abort() })
			}
			s.turn()
			_ = s.engine.Close()
			assert.Zero(t, live(l))
			assert.Zero(t, l.Stats().Streams)
		})
	}
	t.Run("connections that nobody accepts", func(t *testing.T) {
		s := newStage(t, 1)
		got, err := s.engine.ListenConn("tcp", "", &ListenOptions{PerSource: SourceLimits{MaxConns: 2}})
		require.NoError(t, err)
		l := got.(connListener).listener
		s.turn()
		for range 4 {
			s.comes(l, "::1")
		}
		assert.Equal(t, 2, live(l))
		require.NoError(t, got.Close())
		s.turn()
		assert.Zero(t, live(l))
	})
}

// TestPerSourceAsksForTheAddress has a driver that does not tell the peer's address, and a peer that has none any longer.
func TestPerSourceAsksForTheAddress(t *testing.T) {
	s := newStage(t, 1)
	l := s.listenPerSource(ListenOptions{PerSource: SourceLimits{MaxConns: 1}})
	a := l.listenSockets()[0]
	for ip, streams := range map[string]int{"10.0.0.1": 1} {
		for range 2 {
			fd := s.connection()
			s.of(fd).peer = addressOf(ip)
			a.Accepted(fd, backend.Address{}, nil)
			s.turn()
			assert.Equal(t, streams, l.Stats().Streams)
		}
	}
	for range 2 {
		fd := s.connection()
		s.of(fd).peer = backend.Address{}
		a.Accepted(fd, backend.Address{}, nil)
		s.turn()
		assert.Equal(t, 2, l.Stats().Streams, "those without an address are one source")
	}
	require.NoError(t, s.engine.Close())
}

// TestPerSourceThatCannotBe names the field.
func TestPerSourceThatCannotBe(t *testing.T) {
	s := newStage(t, 1)
	for says, o := range map[string]SourceLimits{
		"PerSource.MaxConns is -1":        {MaxConns: -1},
		"PerSource.Rate is -1":            {Rate: -1},
		"PerSource.Rate is NaN":           {Rate: math.NaN()},
		"PerSource.Rate is +Inf":          {Rate: math.Inf(1)},
		"PerSource.Burst is -1":           {Rate: 1, Burst: -1},
		"there is no Rate":                {MaxConns: 1, Burst: 1},
		"PerSource.IPv4Prefix is 33 bits": {MaxConns: 1, IPv4Prefix: 33},
		"PerSource.IPv6Prefix is -1 bits": {MaxConns: 1, IPv6Prefix: -1},
		"PerSource.Sources is -1":         {MaxConns: 1, Sources: -1},
		"neither MaxConns nor Rate":       {IPv4Prefix: 24},
	} {
		_, err := s.engine.Listen("tcp", "", BaseHandler{}, &ListenOptions{PerSource: o})
		assert.ErrorContains(t, err, says)
	}
	for _, network := range []string{"unix", "vsock"} {
		_, err := s.engine.Listen(network, "/s", BaseHandler{}, &ListenOptions{PerSource: SourceLimits{MaxConns: 1}})
		assert.ErrorContains(t, err, "PerSource is for TCP")
	}
	require.NoError(t, s.engine.Close())
}
