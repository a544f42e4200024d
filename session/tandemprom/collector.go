package tandemprom

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tandem-io/tandem"
)

// Options configure a Collector. The zero value is right for one Transport.
type Options struct {
	// PerLoop has a metric of loops for each loop, with the label loop, instead of one for all. That is about 60 time series
	// for each loop. Default false.
	PerLoop bool

	// ConstLabels are labels of all metrics, and tell several Transports in one registry apart. They must not be backend,
	// kernel, loop, listener or reason. Default none.
	ConstLabels prometheus.Labels
}

// Collector is a prometheus.Collector for one Transport. Any goroutine may use it. It asks the Transport for its figures
// when it is collected, and costs nothing otherwise. After the Transport's Close it shows the last ones.
type Collector struct {
	transport tandem.Transport
	perLoop   bool

	loops     []metric[tandem.LoopStats]
	conns     []metric[tandem.ConnStats]
	listeners []metric[tandem.ListenerStats]
	lag       *prometheus.Desc
	info      *prometheus.Desc
	rejected  *prometheus.Desc
	up        *prometheus.Desc

	mu    sync.Mutex // guards added
	added []tandem.Listener
}

var _ prometheus.Collector = (*Collector)(nil)

// metric is one figure with its description.
type metric[S any] struct {
	figure[S]
	desc *prometheus.Desc
}

// New makes a Collector, to be registered. o may be nil.
func New(t tandem.Transport, o *Options) *Collector {
	var mine Options
	if o != nil {
		mine = *o
	}
	labels := prometheus.Labels{"backend": t.Info().Backend.String()}
	maps.Copy(labels, mine.ConstLabels)
	c := &Collector{transport: t, perLoop: mine.PerLoop}
	var loop []string
	if c.perLoop {
		loop = []string{"loop"}
	}
	describe := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc("tandem_"+name, help, variable, labels)
	}
	for _, f := range loopFigures {
		c.loops = append(c.loops, metric[tandem.LoopStats]{f, describe(f.name, f.help, loop...)})
	}
	for _, f := range connFigures {
		c.conns = append(c.conns, metric[tandem.ConnStats]{f, describe(f.name, f.help)})
	}
	for _, f := range listenerFigures {
		c.listeners = append(c.listeners, metric[tandem.ListenerStats]{f, describe(f.name, f.help, "listener")})
	}
	c.lag = describe("post_lag_seconds", "How long work that was given to a loop waited until it ran; one in 64 is measured, and the sum is an estimate.", loop...)
	c.info = describe("info", "1, with the release of the kernel.", "kernel")
	c.rejected = describe("listener_rejected_total", "Connections that were reset because of a limit.", "listener", "reason")
	c.up = describe("listener_up", "Whether the listener lives; 0 if it has failed.", "listener")
	return c
}

// Add shows the figures of a listener, too, until it is closed. A listener that has failed stays. Those at one address, such as
// one that was closed and the next, are shown as one.
func (c *Collector) Add(l tandem.Listener) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added = append(c.added, l)
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.loops {
		to <- m.desc
	}
	for _, m := range c.conns {
		to <- m.desc
	}
	for _, m := range c.listeners {
		to <- m.desc
	}
	for _, d := range []*prometheus.Desc{c.lag, c.info, c.rejected, c.up} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	s := c.transport.Stats()
	if c.perLoop {
		for i := range s.Loops {
			c.collectLoop(to, &s.Loops[i], strconv.Itoa(i))
		}
	} else {
		c.collectLoop(to, &s.LoopStats)
	}
	for _, m := range c.conns {
		to <- m.of(&s.Conns)
	}
	to <- prometheus.MustNewConstMetric(c.info, prometheus.GaugeValue, 1, c.transport.Info().Kernel)
	c.collectListeners(to)
}

func (m *metric[S]) of(s *S, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s), labels...)
}

func (c *Collector) collectLoop(to chan<- prometheus.Metric, s *tandem.LoopStats, labels ...string) {
	for _, m := range c.loops {
		to <- m.of(s, labels...)
	}
	to <- histogram(c.lag, s.PostLag, labels...)
}

// histogram shows Lags. They have no sum: each counts as three quarters of what it was shorter than, the middle of its bucket.
func histogram(d *prometheus.Desc, lags tandem.Lags, labels ...string) prometheus.Metric {
	buckets, before, sum := map[float64]uint64{}, uint64(0), 0.0
	for i, n := range lags {
		bound := lags.Bound(i).Seconds()
		sum += 0.75 * bound * float64(n)
		before += n
		if i < len(lags)-1 { // the last has no bound
			buckets[bound] = before
		}
	}
	return prometheus.MustNewConstHistogram(d, lags.Count(), sum, buckets, labels...)
}

func (c *Collector) collectListeners(to chan<- prometheus.Metric) {
	all := c.living()
	for _, at := range slices.Sorted(maps.Keys(all)) {
		var s tandem.ListenerStats
		up := 0.0
		for _, l := range all[at] {
			sum(&s, l.Stats())
			if l.Err() == nil {
				up = 1
			}
		}
		for _, m := range c.listeners {
			to <- m.of(&s, at)
		}
		to <- prometheus.MustNewConstMetric(c.rejected, prometheus.CounterValue, float64(s.Rejected), at, "max_conns")
		to <- prometheus.MustNewConstMetric(c.rejected, prometheus.CounterValue, float64(s.SourceRejected), at, "per_source")
		to <- prometheus.MustNewConstMetric(c.up, prometheus.GaugeValue, up, at)
	}
}

// living returns the listeners by their addresses, and forgets those that were closed.
func (c *Collector) living() map[string][]tandem.Listener {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added = slices.DeleteFunc(c.added, func(l tandem.Listener) bool { return l.Err() == net.ErrClosed }) //nolint:errorlint // a failure may wrap it
	all := map[string][]tandem.Listener{}
	for _, l := range c.added {
		at := l.Addr().String()
		all[at] = append(all[at], l)
	}
	return all
}

// sum adds the figures of another listener at the same address.
func sum(s *tandem.ListenerStats, o tandem.ListenerStats) {
	s.Accepted += o.Accepted
	s.Errors += o.Errors
	s.Backoffs += o.Backoffs
	s.Rejected += o.Rejected
	s.SourceRejected += o.SourceRejected
	s.Streams += o.Streams
	s.Parked += o.Parked
	s.MaxConns += o.MaxConns
}
