package session

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-io/tandem/backend"
)

// SourceLimits bound what peers of one address may take of a listener. A source is an IP address, or all addresses with the
// same prefix. The zero value bounds nothing, and costs nothing.
//
// The address is that of the socket's peer. Behind a proxy or a load balancer that is the proxy's, also if it sends a PROXY
// header, which only the handler reads: all of its clients are one source there. Peers that have reset before their address
// was known are one source together. So are all link-local IPv6 peers, unless IPv6Prefix is longer than 64.
type SourceLimits struct {
	// MaxConns is how many connections of a source there may be at a time. Those that wait for room below the listener's
	// MaxConns, and of ListenConn for Accept, count too. Default 0: no limit.
	MaxConns int

	// Rate is how many connections of a source are accepted in a second, over time. Default 0: no limit.
	Rate float64

	// Burst is how many connections of a source are accepted at once before Rate holds. Each of them comes back in a second
	// divided by Rate. Default 0: Rate, rounded up.
	Burst int

	// IPv4Prefix and IPv6Prefix are how many leading bits of an address make a source. Default 0: 32 and 64. An IPv4 address
	// that is mapped into IPv6 counts as IPv4.
	IPv4Prefix, IPv6Prefix int

	// Sources is how many sources without connections are remembered for Rate, of about 150 bytes each. Beyond that those
	// are forgotten, and begin anew, that have come and gone least recently. Default 0: 16,384.
	Sources int
}

const defaultSources = 16_384

// sourceShards is how many parts the table of sources has, so that loops seldom meet at one.
const sourceShards = 16

// bounds reports whether o bounds anything.
func (o *SourceLimits) bounds() bool { return o.MaxConns > 0 || o.Rate > 0 }

// check names the first field that cannot be honoured.
func (o *SourceLimits) check(network string) error {
	switch {
	case *o == SourceLimits{}:
		return nil
	case !isTCP(network):
		return fmt.Errorf("PerSource is for TCP; the network is %s: leave it zero", network)
	case o.MaxConns < 0:
		return fmt.Errorf("PerSource.MaxConns is %d; it must be positive, or 0 for no limit", o.MaxConns)
	case !(o.Rate >= 0) || math.IsInf(o.Rate, 0): // NaN too
		return fmt.Errorf("PerSource.Rate is %v connections a second; it must be positive, or 0 for no limit", o.Rate)
	case o.Burst < 0:
		return fmt.Errorf("PerSource.Burst is %d; it must be positive, or 0 for Rate", o.Burst)
	case o.Burst > 0 && o.Rate == 0:
		return fmt.Errorf("PerSource.Burst is %d, and there is no Rate", o.Burst)
	case o.IPv4Prefix < 0 || o.IPv4Prefix > 32:
		return fmt.Errorf("PerSource.IPv4Prefix is %d bits; it must be between 1 and 32, or 0 for 32", o.IPv4Prefix)
	case o.IPv6Prefix < 0 || o.IPv6Prefix > 128:
		return fmt.Errorf("PerSource.IPv6Prefix is %d bits; it must be between 1 and 128, or 0 for 64", o.IPv6Prefix)
	case o.Sources < 0:
		return fmt.Errorf("PerSource.Sources is %d; it must be positive, or 0 for %d", o.Sources, defaultSources)
	case !o.bounds():
		return errors.New("PerSource has neither MaxConns nor Rate")
	}
	return nil
}

// sources is what a listener knows of the sources of its connections. Any goroutine may use it.
//
// It holds those that have connections, which are no more than there are connections, and those of which Rate has still to
// remember something, which are no more than SourceLimits.Sources. A source that it does not hold has all of its burst.
type sources struct {
	most      int32 // connections of a source, 0: no limit
	interval  int64 // nanoseconds in which one connection of the burst comes back; 0: no limit of the rate
	allowance int64 // how far in front of the clock the due time of a source may be
	v4, v6    int   // bits of a prefix
	idle      int   // sources without connections in each shard, at most

	rejected atomic.Uint64 // connections
	told     atomic.Uint64 // of these, when the last was logged
	quiet    atomic.Int64  // until when none is logged

	shards [sourceShards]sourceShard
}

type sourceShard struct {
	mu   sync.Mutex // guards what follows
	all  map[sourceKey]*source
	past sourceList // those without connections, the one that has left first in front
	_    [64]byte   // so that loops do not share cache lines
}

// sourceKey is a masked address in 16 bytes. All of them are zero for peers whose address is not known.
type sourceKey [16]byte

// source is what is known of one source. Its shard's mu guards it.
type source struct {
	key        sourceKey
	live       int32 // connections
	due        int64 // when its whole burst is back, on the engine's clock
	prev, next *source
}

// newSources makes the table for limits that were checked, or nil if there are none.
func newSources(o SourceLimits) *sources {
	if !o.bounds() {
		return nil
	}
	t := &sources{most: int32(min(o.MaxConns, math.MaxInt32)), v4: 32, v6: 64, idle: defaultSources}
	if o.IPv4Prefix > 0 {
		t.v4 = o.IPv4Prefix
	}
	if o.IPv6Prefix > 0 {
		t.v6 = o.IPv6Prefix
	}
	if o.Sources > 0 {
		t.idle = o.Sources
	}
	t.idle = (t.idle + sourceShards - 1) / sourceShards
	if o.Rate > 0 {
		const longest = float64(1 << 60) // nanoseconds, so that no sum overflows
		burst := float64(o.Burst)
		if burst == 0 {
			burst = math.Ceil(o.Rate)
		}
		interval := min(max(float64(time.Second)/o.Rate, 1), longest)
		t.interval, t.allowance = int64(interval), int64(min((burst-1)*interval, longest))
	}
	for i := range t.shards {
		t.shards[i].all = map[sourceKey]*source{}
		t.shards[i].past.init()
	}
	return t
}

// keyOf is the source of an address.
func (t *sources) keyOf(a backend.Address) (k sourceKey) {
	if a.Kind != backend.TCPAddress {
		return k
	}
	ip, bits := a.IP.Addr().Unmap(), t.v6
	if ip.Is4() {
		bits = t.v4
	}
	if p, err := ip.WithZone("").Prefix(bits); err == nil {
		k = p.Addr().As16()
	}
	return k
}

func (t *sources) shard(k sourceKey) *sourceShard {
	return &t.shards[maphash.Bytes(sourceSeed, k[:])%sourceShards]
}

// take counts one more connection from an address at a time on the engine's clock, or names the limit that forbids it. The
// source is to be given back to leave.
func (t *sources) take(a backend.Address, now int64) (s *source, limit string) {
	k := t.keyOf(a)
	h := t.shard(k)
	h.mu.Lock()
	defer h.mu.Unlock()
	s = h.all[k]
	if s == nil {
		s = &source{key: k}
		h.all[k] = s
	} else if s.live == 0 {
		h.past.remove(s)
	}
	switch {
	case t.most > 0 && s.live >= t.most:
		return nil, "MaxConns"
	case t.interval > 0 && s.due-now > t.allowance:
		if s.live == 0 {
			h.past.add(s)
		}
		return nil, "Rate"
	}
	if t.interval > 0 {
		s.due = max(s.due, now) + t.interval
	}
	s.live++
	return s, ""
}

// leave follows the end of a connection that take has counted, at a time on the engine's clock.
func (t *sources) leave(s *source, now int64) {
	h := t.shard(s.key)
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.live--; s.live > 0 {
		return
	}
	if s.due <= now {
		delete(h.all, s.key)
	} else {
		h.past.add(s)
	}
	h.forget(now, t.idle)
}

// forget drops sources that have their whole burst again, some at a time, and those that are too many.
func (h *sourceShard) forget(now int64, most int) {
	for range 2 {
		first := h.past.front()
		if first == nil || first.due > now && h.past.n <= most {
			return
		}
		h.past.remove(first)
		delete(h.all, first.key)
	}
}

// sourceList is a list of sources, the oldest in front.
type sourceList struct {
	ends source // a ring
	n    int
}

func (l *sourceList) init() { l.ends.next, l.ends.prev = &l.ends, &l.ends }

func (l *sourceList) front() *source {
	if l.n == 0 {
		return nil
	}
	return l.ends.next
}

func (l *sourceList) add(s *source) {
	s.prev, s.next = l.ends.prev, &l.ends
	s.prev.next, s.next.prev = s, s
	l.n++
}

func (l *sourceList) remove(s *source) {
	s.prev.next, s.next.prev = s.next, s.prev
	s.prev, s.next = nil, nil
	l.n--
}

// admit counts a connection for its source. If that has too many, the connection is reset, and admit reports false.
func (a *listenSocket) admit(c *connection) bool {
	l := a.listener
	if c.from.Kind == backend.NoAddress {
		c.from = a.loop.Sockets.RemoteAddress(c.fd) // io_uring accepts without
	}
	now := l.engine.now()
	var limit string
	if c.source, limit = l.sources.take(c.from, now); limit == "" {
		return true
	}
	l.sources.rejected.Add(1) // before the peer can know
	a.reset(*c)
	l.logRejected(c.from, limit, now)
	return false
}

// logRejected logs that a connection was reset because of its source, at most once in a second.
func (l *listener) logRejected(from backend.Address, limit string, now int64) {
	t := l.sources
	quiet := t.quiet.Load()
	if now < quiet || !t.quiet.CompareAndSwap(quiet, now+int64(time.Second)) {
		return
	}
	all := t.rejected.Load()
	skipped := max(int64(all-t.told.Swap(all))-1, 0)
	l.engine.log.Warn("tandem: connections are reset, because their source has too many", "listener", l.addr, "remote", from.NetAddr(),
		"option", "PerSource."+limit, "skipped", skipped)
}

// left follows the end of a connection of a source. nil: sources are not counted.
func (l *listener) left(s *source) {
	if s != nil {
		l.sources.leave(s, l.engine.now())
	}
}

// now is the time on the engine's clock, which is that of its first loop. Any goroutine.
func (e *Engine) now() int64 { return e.loops[0].Clock() }
