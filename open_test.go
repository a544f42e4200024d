package tandem

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
)

// own is the Backend of a driver that this package does not know.
const own Backend = 17

// idleDriver never reports anything.
type idleDriver struct {
	backend.Driver
	wakes  chan struct{}
	closed int
}

func newIdleDriver() *idleDriver { return &idleDriver{wakes: make(chan struct{}, 1)} }

func (*idleDriver) Start(*backend.Counters) error    { return nil }
func (*idleDriver) Features() []string               { return []string{"nothing"} }
func (*idleDriver) Outstanding() backend.Outstanding { return backend.Outstanding{} }

func (d *idleDriver) Wake() {
	select {
	case d.wakes <- struct{}{}:
	default:
	}
}

func (d *idleDriver) Poll(wait time.Duration) (int, error) {
	if wait < 0 {
		<-d.wakes
	}
	return 0, nil
}

func (d *idleDriver) Close() error {
	d.closed++
	return nil
}

// row makes a source whose drivers are given, or fails.
func row(b Backend, name string, err error, drivers ...backend.Driver) source {
	return source{backend: b, name: name, kernel: "kernel of " + name, open: func(*Options) ([]backend.Driver, error) {
		return drivers, err
	}}
}

// TestOpenChoice opens from tables of its own: which row is chosen, and why.
func TestOpenChoice(t *testing.T) {
	t.Setenv("TANDEM_BACKEND", "")
	refused := &backend.UnsupportedError{Backend: "first", Cause: errors.New("first: a reason")}
	broken := errors.New("it is broken")
	first := func(err error) source { return row(own, "first", err, newIdleDriver()) }
	last := row(Epoll, "last", nil, newIdleDriver())
	asked := first(nil)
	asked.asked = true
	for name, c := range map[string]struct {
		from   []source
		want   Backend
		got    Backend
		reason string
		err    string
	}{
		"Auto takes the first":                  {[]source{first(nil), last}, Auto, own, "kernel of first works here", ""},
		"Auto goes on where one is unsupported": {[]source{first(refused), last}, Auto, Epoll, "first cannot run here: a reason", ""},
		"Auto gives up where one fails":         {[]source{first(broken), last}, Auto, 0, "", "tandem: open: it is broken"},
		"Auto passes over one to be asked for":  {[]source{asked, last}, Auto, Epoll, "kernel of last works here", ""},
		"that one, asked for":                   {[]source{asked, last}, own, own, "asked for by Options.Backend", ""},
		"Auto fails where all are unsupported":  {[]source{first(refused)}, Auto, 0, "", "tandem: open: first cannot run here: a reason"},
		"a named one that is unsupported":       {[]source{first(refused), last}, own, 0, "", "tandem: open: first cannot run here: a reason"},
		"a name that is not in the table":       {[]source{last}, own, 0, "", "tandem: Options.Backend is 17; it must be Auto, Epoll, Uring or Portable"},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := openFrom(c.from, &Options{Backend: c.want, Loops: 1, Logger: slog.New(slog.DiscardHandler)})
			if c.err != "" {
				require.EqualError(t, err, c.err)
				return
			}
			require.NoError(t, err)
			i := tr.Info()
			assert.Equal(t, c.got, i.Backend)
			assert.Equal(t, c.reason, i.Reason)
			assert.Equal(t, []string{"nothing"}, i.Features)
			require.NoError(t, tr.Close())
		})
	}
}

// TestOpenClosesDrivers ends a Transport on a driver of the test's.
func TestOpenClosesDrivers(t *testing.T) {
	d := []*idleDriver{newIdleDriver(), newIdleDriver()}
	from := []source{row(own, "own", nil, d[0], d[1])}
	tr, err := openFrom(from, &Options{Backend: own, Loops: 2, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	require.NoError(t, tr.Close())
	assert.Equal(t, []int{1, 1}, []int{d[0].closed, d[1].closed}, "how often each driver was closed")
}

func TestBackendText(t *testing.T) {
	for b, text := range map[Backend]string{Auto: "auto", Epoll: "epoll", Uring: "uring", Portable: "portable"} {
		t.Run(text, func(t *testing.T) {
			assert.Equal(t, text, b.String())
			out, err := b.MarshalText()
			require.NoError(t, err)
			assert.Equal(t, text, string(out))
			back := own
			require.NoError(t, back.UnmarshalText(out))
			assert.Equal(t, b, back)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		assert.Equal(t, "Backend(17)", own.String())
		_, err := own.MarshalText()
		require.EqualError(t, err, "tandem: no such backend: 17")
		b := Epoll
		require.EqualError(t, b.UnmarshalText([]byte("kqueue")), `tandem: no such backend: "kqueue"; there are auto, uring, epoll, portable`)
		assert.Equal(t, Epoll, b)
	})
}
