package tandemprom

import (
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// shows checks that every number of S is shown by one figure, but for those that are left out.
func shows[S any](t *testing.T, figures []figure[S], out ...string) {
	t.Helper()
	of := reflect.TypeFor[S]()
	used := map[string]string{}
	for i := range of.NumField() {
		field := of.Field(i)
		if !assert.NotContains(t, used, field.Name) || contains(out, field.Name) {
			continue
		}
		var s S
		switch v := reflect.ValueOf(&s).Elem().Field(i); {
		case v.CanInt():
			v.SetInt(int64(7 * time.Second))
		case v.CanUint():
			v.SetUint(7)
		}
		var names []string
		for _, f := range figures {
			if f.value(&s) != 0 {
				names = append(names, f.name)
			}
		}
		assert.Len(t, names, 1, "figures that show %s.%s", of.Name(), field.Name)
	}
	assert.Len(t, figures, of.NumField()-len(out))
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// TestEveryFigureIsShown finds a figure of Stats that was added, and is not shown.
func TestEveryFigureIsShown(t *testing.T) {
	shows(t, loopFigures, "PostLag", "LongestCallbackStream")
	shows(t, connFigures)
	shows(t, listenerFigures, "Rejected", "SourceRejected")
}

// TestSumOfListeners adds every figure up.
func TestSumOfListeners(t *testing.T) {
	var one, two tandem.ListenerStats
	v := reflect.ValueOf(&one).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.CanInt() {
			f.SetInt(int64(i + 1))
		} else {
			f.SetUint(uint64(i + 1))
		}
	}
	sum(&two, one)
	assert.Equal(t, one, two)
}

// TestHistogram shows counts in the buckets of their bounds.
func TestHistogram(t *testing.T) {
	var lags tandem.Lags
	lags[0], lags[1], lags[10], lags[len(lags)-1] = 3, 2, 1, 4
	d := prometheus.NewDesc("tandem_post_lag_seconds", "help", nil, nil)
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(one{d, histogram(d, lags)}))
	all, err := registry.Gather()
	require.NoError(t, err)
	h := all[0].GetMetric()[0].GetHistogram()
	assert.EqualValues(t, 10, h.GetSampleCount())
	require.Len(t, h.GetBucket(), len(lags)-1)
	for i, want := range map[int]uint64{0: 3, 1: 5, 9: 5, 10: 6, 21: 6} {
		assert.Equal(t, want, h.GetBucket()[i].GetCumulativeCount(), "bucket %d", i)
		assert.InDelta(t, float64(int64(1)<<i)/1e6, h.GetBucket()[i].GetUpperBound(), 1e-12, "bucket %d", i)
	}
	assert.Greater(t, h.GetSampleSum(), 4*2.0)
}

// one is a Collector of one metric.
type one struct {
	d *prometheus.Desc
	m prometheus.Metric
}

func (o one) Describe(to chan<- *prometheus.Desc) { to <- o.d }
func (o one) Collect(to chan<- prometheus.Metric) { to <- o.m }
