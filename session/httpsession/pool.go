package httpsession

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/polled"
)

// PoolOptions are those of a Pool. The zero value is right for most.
type PoolOptions struct {
	// Dial opens a connection to HOST:PORT for a URL's scheme. Default: polled.Connect over TCP for http and, with TLS as
	// Client.TLS says, https; an error for any other scheme.
	Dial func(scheme, address string) (polled.Bytes, error)

	// PerHost limits the connections to one scheme and address. Default 8.
	PerHost int

	// Total limits all connections. Default 128.
	Total int

	// IdleTimeout is how long an idle connection is kept. Default 90 s; negative: none is kept.
	IdleTimeout time.Duration

	// Client are the options of each connection. Pipeline is ignored: a connection carries one request at a time.
	Client ClientOptions

	// Now is the clock, for tests. Default time.Now.
	Now func() time.Time
}

const (
	defaultPerHost     = 8
	defaultTotal       = 128
	defaultIdleTimeout = 90 * time.Second
)

// Pool keeps connections to HTTP servers for reuse. It and its Exchanges belong to one goroutine at a time.
type Pool struct {
	options PoolOptions
	hosts   map[string]*host
	idle    []*pooled // the longest idle first
	open    int       // number of connections, including idle ones
	asks    uint64    // number of times that an exchange has asked for a connection
	closed  bool
}

// host is the state of the pool for one scheme and address.
type host struct {
	open    int
	waiting []*Exchange // exchanges that wait for a connection, in order
}

// pooled is a connection of the pool.
type pooled struct {
	*Client
	key     string
	used    bool      // whether it has carried an exchange
	resting time.Time // since when it has been idle
}

// NewPool returns a Pool that connects by t, which may be nil if Dial is set. o may be nil.
func NewPool(t polled.Transport, o *PoolOptions) *Pool {
	p := &Pool{hosts: map[string]*host{}}
	if o != nil {
		p.options = *o
	}
	mine := &p.options
	mine.Client.Pipeline = 1
	if mine.PerHost <= 0 {
		mine.PerHost = defaultPerHost
	}
	if mine.Total <= 0 {
		mine.Total = defaultTotal
	}
	if mine.IdleTimeout == 0 {
		mine.IdleTimeout = defaultIdleTimeout
	}
	if mine.Now == nil {
		mine.Now = backend.SystemClock{}.Now
	}
	if mine.Dial == nil {
		secure := encrypted(mine.Client.TLS)
		mine.Dial = func(scheme, address string) (polled.Bytes, error) { return dial(t, scheme, address, secure) }
	}
	return p
}

// dial is the default of PoolOptions.Dial.
func dial(t polled.Transport, scheme, address string, secure *tls.Config) (polled.Bytes, error) {
	var o session.DialOptions
	switch scheme {
	case "http":
	case "https":
		o.TLS = secure
	default:
		return nil, fmt.Errorf("httpsession: PoolOptions.Dial is nil, which dials http and https and not %q", scheme)
	}
	return polled.Connect(t, "tcp", address, &o)
}

// Do begins an exchange: r is sent on an idle connection to the host of r.URL, or on a new one, or, at the limits, as soon
// as a connection is free. Do does not wait, and fails only for a request that no connection could carry. r must not be
// changed until the exchange has its response. Close ends the exchange.
func (p *Pool) Do(r *http1.Request) (*Exchange, error) {
	if p.closed {
		return nil, fmt.Errorf("httpsession: the pool is closed: %w", net.ErrClosed)
	}
	if r == nil || r.Request == nil || r.URL == nil || r.URL.Host == "" {
		return nil, fmt.Errorf("httpsession: a request for a pool needs a URL with a host")
	}
	if _, err := (http1.Requests{}).Append(nil, r); err != nil {
		return nil, err
	}
	x := &Exchange{pool: p, request: r, scheme: r.URL.Scheme, address: addressOf(r.URL)}
	if p.options.Client.ExchangeTimeout > 0 {
		x.began = p.options.Now()
	}
	h := p.host(x.key())
	h.waiting = append(h.waiting, x)
	return x, nil
}

// addressOf returns host and port of a URL.
func addressOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
		if u.Scheme == "https" {
			port = "443"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// Open returns the number of connections, including idle ones.
func (p *Pool) Open() int { return p.open }

// Idle returns the number of idle connections.
func (p *Pool) Idle() int { return len(p.idle) }

// Drive closes idle connections that have reached IdleTimeout or that their server has closed. A duty cycle calls it now and
// then. Exchanges are driven by their own Drive.
func (p *Pool) Drive() polled.Activity {
	activity := polled.Idle
	for _, c := range slices.Clone(p.idle) {
		if p.expired(c) || !c.reusable() {
			p.forget(c)
			p.discard(c)
			activity = polled.Active
		}
	}
	return activity
}

// Close closes idle connections. Exchanges that have a connection go on, and close it; those that wait for one fail.
func (p *Pool) Close() error {
	p.closed = true
	for _, c := range p.idle {
		p.discard(c)
	}
	p.idle = nil
	return nil
}

func (p *Pool) host(key string) *host {
	h := p.hosts[key]
	if h == nil {
		h = &host{}
		p.hosts[key] = h
	}
	return h
}

// tidy removes a host without connections and waiting exchanges.
func (p *Pool) tidy(key string) {
	if h := p.hosts[key]; h != nil && h.open == 0 && len(h.waiting) == 0 {
		delete(p.hosts, key)
	}
}

// acquire returns a connection for x, or nil if x has to wait: for its turn, or because of the limits. Exchanges have their
// turn in order, except for those that nobody drives, which do not hold up others.
func (p *Pool) acquire(x *Exchange) (*pooled, error) {
	h := p.host(x.key())
	if p.closed {
		return nil, net.ErrClosed
	}
	p.asks++
	x.asked = p.asks
	if p.ahead(h, x) >= p.spare(h, x.key()) {
		return nil, nil
	}
	c := p.rested(x)
	if c == nil {
		if h.open >= p.options.PerHost || p.open >= p.options.Total && !p.evict() {
			return nil, nil
		}
		inner, err := p.options.Dial(x.scheme, x.address)
		if err != nil {
			return nil, err
		}
		one := p.options.Client
		one.ExchangeTimeout = 0 // which the exchange keeps itself
		c = &pooled{Client: NewClient(inner, &one), key: x.key()}
		if fn := p.options.Client.Notify; fn != nil {
			if err := c.Notify(fn); err != nil {
				_ = c.Close()
				return nil, err
			}
		}
		h.open++
		p.open++
	}
	if i := slices.Index(h.waiting, x); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	}
	return c, nil
}

// abandoned is the number of times that others ask for a connection, in addition to four times for each, before an exchange
// that does not ask is considered one that nobody drives.
const abandoned = 64

// ahead returns the number of exchanges that wait before x and are driven: those that have asked recently.
func (p *Pool) ahead(h *host, x *Exchange) (n int) {
	for _, other := range h.waiting {
		if other == x {
			break
		}
		if other.asked != 0 && p.asks-other.asked <= uint64(abandoned+4*len(h.waiting)) {
			n++
		}
	}
	return n
}

// spare returns the number of connections to a host that waiting exchanges may have.
func (p *Pool) spare(h *host, key string) int {
	resting := 0
	for _, c := range p.idle {
		if c.key == key {
			resting++
		}
	}
	return p.options.PerHost - h.open + resting
}

// rested returns an idle connection: the one that has been idle for the shortest time, because its server is the least
// likely to close it now. A request that was lost on an idle connection gets a new one instead.
func (p *Pool) rested(x *Exchange) *pooled {
	for i := len(p.idle) - 1; i >= 0; i-- {
		c := p.idle[i]
		if c.key != x.key() || x.again {
			continue
		}
		p.idle = slices.Delete(p.idle, i, i+1)
		if !p.expired(c) && c.reusable() {
			return c
		}
		p.discard(c)
	}
	return nil
}

// evict closes the longest idle connection, and reports whether there was one.
func (p *Pool) evict() bool {
	if len(p.idle) == 0 {
		return false
	}
	c := p.idle[0]
	p.forget(c)
	p.discard(c)
	return true
}

func (p *Pool) expired(c *pooled) bool {
	return p.options.Now().Sub(c.resting) >= p.options.IdleTimeout
}

// release returns the connection of an exchange to the pool.
func (p *Pool) release(c *pooled) {
	c.used = true
	if p.closed || p.options.IdleTimeout < 0 || !c.reusable() {
		p.discard(c)
		return
	}
	c.resting = p.options.Now()
	p.idle = append(p.idle, c)
}

func (p *Pool) forget(c *pooled) {
	if i := slices.Index(p.idle, c); i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// discard closes a connection for good.
func (p *Pool) discard(c *pooled) {
	_ = c.Close() // nobody expects a response to what it had queued
	p.gone(c)
}

// gone removes a connection from the counts of the pool.
func (p *Pool) gone(c *pooled) {
	p.open--
	p.host(c.key).open--
	p.tidy(c.key)
}
