package tandemprom_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/tandemprom"
)

// echo sends everything back.
type echo struct{ tandem.BaseHandler }

func (echo) OnData(s *tandem.Stream) { _, _ = s.WriteTo(s) }

// onEach runs a test on each backend that there is.
func onEach(t *testing.T, run func(t *testing.T, backend tandem.Backend)) {
	for _, backend := range []tandem.Backend{tandem.Epoll, tandem.Uring, tandem.Portable} {
		t.Run(backend.String(), func(t *testing.T) {
			tr, err := tandem.Open(options(backend))
			if err != nil {
				t.Skipf("NOT TESTED: %v", err)
			}
			require.NoError(t, tr.Close())
			run(t, backend)
		})
	}
}

func options(b tandem.Backend) *tandem.Options {
	return &tandem.Options{Backend: b, Loops: 2, Logger: slog.New(slog.DiscardHandler)}
}

func open(t *testing.T, b tandem.Backend) tandem.Transport {
	t.Helper()
	tr, err := tandem.Open(options(b))
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// talk has a peer send a message and get it back. The connection stays open.
func talk(t *testing.T, l net.Addr, size int) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Write(make([]byte, size))
	require.NoError(t, err)
	for n := 0; n < size; {
		k, err := c.Read(make([]byte, size))
		require.NoError(t, err)
		n += k
	}
	return c
}

// TestFigures has streams and Conns at work, and compares what is shown.
func TestFigures(t *testing.T) {
	onEach(t, func(t *testing.T, backend tandem.Backend) {
		tr := open(t, backend)
		c := tandemprom.New(tr, nil)
		registry := prometheus.NewPedanticRegistry()
		require.NoError(t, registry.Register(c))
		l, err := tr.Listen("tcp", "127.0.0.1:0", echo{}, &tandem.ListenOptions{MaxConns: 7, PerSource: tandem.SourceLimits{MaxConns: 3}})
		require.NoError(t, err)
		c.Add(l)
		for range 3 {
			talk(t, l.Addr(), 1000)
		}
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil { // and is reset
			_, _ = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		want := func(format string) string {
			r := strings.NewReplacer("BACKEND", backend.String(), "ADDRESS", l.Addr().String())
			var b strings.Builder
			for _, line := range strings.Split(strings.TrimSpace(r.Replace(format)), "\n") {
				name, _, _ := strings.Cut(line, "{")
				kind := "gauge"
				if strings.HasSuffix(name, "_total") {
					kind = "counter"
				}
				if !strings.Contains(b.String(), "# TYPE "+name+" ") {
					fmt.Fprintf(&b, "# TYPE %s %s\n", name, kind)
				}
				b.WriteString(line + "\n")
			}
			return b.String()
		}
		lines := want(`
tandem_listener_accepted_total{backend="BACKEND",listener="ADDRESS"} 3
tandem_listener_max_conns{backend="BACKEND",listener="ADDRESS"} 7
tandem_listener_rejected_total{backend="BACKEND",listener="ADDRESS",reason="max_conns"} 0
tandem_listener_rejected_total{backend="BACKEND",listener="ADDRESS",reason="per_source"} 1
tandem_listener_streams{backend="BACKEND",listener="ADDRESS"} 3
tandem_listener_up{backend="BACKEND",listener="ADDRESS"} 1
tandem_received_bytes_total{backend="BACKEND"} 3000
tandem_sent_bytes_total{backend="BACKEND"} 3000
tandem_streams{backend="BACKEND"} 3
tandem_streams_opened_total{backend="BACKEND"} 3
`)
		names := []string{
			"tandem_listener_accepted_total", "tandem_listener_max_conns", "tandem_listener_rejected_total", "tandem_listener_streams",
			"tandem_listener_up", "tandem_received_bytes_total", "tandem_sent_bytes_total", "tandem_streams", "tandem_streams_opened_total",
		}
		plain := func() string { return withoutHelp(t, registry, names) }
		require.Eventually(t, func() bool { return plain() == lines }, 20*time.Second, 5*time.Millisecond, "want\n%s\ngot\n%s", lines, plain())
	})
}

// withoutHelp is what a registry shows of some metrics, as text without HELP.
func withoutHelp(t *testing.T, g prometheus.Gatherer, names []string) string {
	t.Helper()
	all, err := testutil.GatherAndCount(g, names...)
	require.NoError(t, err)
	require.NotZero(t, all)
	families, err := g.Gather()
	require.NoError(t, err)
	var b strings.Builder
	for _, f := range families {
		for _, name := range names {
			if f.GetName() != name {
				continue
			}
			fmt.Fprintf(&b, "# TYPE %s %s\n", name, strings.ToLower(f.GetType().String()))
			for _, m := range f.GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
				fmt.Fprintf(&b, "%s{%s} %v\n", name, strings.Join(labels, ","), m.GetGauge().GetValue()+m.GetCounter().GetValue())
			}
		}
	}
	return b.String()
}

// TestLint has the names and types keep the conventions of Prometheus, in all ways to show them.
func TestLint(t *testing.T) {
	onEach(t, func(t *testing.T, backend tandem.Backend) {
		for _, o := range []*tandemprom.Options{nil, {PerLoop: true}, {ConstLabels: prometheus.Labels{"service": "a"}}} {
			tr := open(t, backend)
			c := tandemprom.New(tr, o)
			l, err := tr.Listen("tcp", "127.0.0.1:0", echo{}, nil)
			require.NoError(t, err)
			c.Add(l)
			registry := prometheus.NewPedanticRegistry()
			require.NoError(t, registry.Register(c))
			problems, err := testutil.GatherAndLint(registry)
			require.NoError(t, err)
			assert.Empty(t, problems)
			n, err := testutil.GatherAndCount(registry, "tandem_turns_total")
			require.NoError(t, err)
			want := 1
			if o != nil && o.PerLoop {
				want = tr.Info().Loops
			}
			assert.Equal(t, want, n)
			described := make(chan *prometheus.Desc, 1000)
			c.Describe(described)
			families, err := registry.Gather()
			require.NoError(t, err)
			assert.Len(t, families, len(described), "every metric that is described is shown")
		}
	})
}

// TestSeveralTransports are in one registry, by a constant label.
func TestSeveralTransports(t *testing.T) {
	onEach(t, func(t *testing.T, backend tandem.Backend) {
		registry := prometheus.NewPedanticRegistry()
		for _, name := range []string{"front", "back"} {
			c := tandemprom.New(open(t, backend), &tandemprom.Options{ConstLabels: prometheus.Labels{"transport": name}})
			require.NoError(t, registry.Register(c))
		}
		n, err := testutil.GatherAndCount(registry, "tandem_streams")
		require.NoError(t, err)
		assert.Equal(t, 2, n)
		assert.Error(t, registry.Register(tandemprom.New(open(t, backend), &tandemprom.Options{ConstLabels: prometheus.Labels{"transport": "front"}})))
	})
}

// TestAfterTheEnd collects while a Transport works and ends, and afterwards. Listeners that were closed are not shown.
func TestAfterTheEnd(t *testing.T) {
	onEach(t, func(t *testing.T, backend tandem.Backend) {
		tr := open(t, backend)
		c := tandemprom.New(tr, &tandemprom.Options{PerLoop: true})
		registry := prometheus.NewPedanticRegistry()
		require.NoError(t, registry.Register(c))
		ended, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				_, err := registry.Gather()
				assert.NoError(t, err)
				select {
				case <-ended:
					return
				default:
				}
			}
		}()
		var last tandem.Listener
		for range 3 { // at one address
			address := "127.0.0.1:0"
			if last != nil {
				address = last.Addr().String()
				require.NoError(t, last.Close())
			}
			l, err := tr.Listen("tcp", address, echo{}, nil)
			require.NoError(t, err)
			c.Add(l)
			require.NoError(t, talk(t, l.Addr(), 10).Close())
			last = l
		}
		n, err := testutil.GatherAndCount(registry, "tandem_listener_up")
		require.NoError(t, err)
		assert.Equal(t, 1, n)
		require.NoError(t, tr.Shutdown(context.Background()))
		close(ended)
		<-done
		n, err = testutil.GatherAndCount(registry, "tandem_listener_up")
		require.NoError(t, err)
		assert.Zero(t, n)
		n, err = testutil.GatherAndCount(registry, "tandem_streams_closed_total")
		require.NoError(t, err)
		assert.Equal(t, 2, n, "loops")
	})
}
