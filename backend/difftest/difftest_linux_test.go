package difftest_test

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/backend/difftest"
	"github.com/tandem-io/tandem/backend/portable"
	epoll "github.com/tandem-io/tandem/backend_epoll"
	uring "github.com/tandem-io/tandem/backend_uring"
	"github.com/tandem-io/tandem/session"
)

const loops = 2

// drivers make the drivers of each kind of Transport: epoll, io_uring on each rung, and io_uring with queues and buffers
// that are full all the time.
var drivers = map[string]func() ([]backend.Driver, error){
	"epoll": func() ([]backend.Driver, error) {
		return backend.MakeDrivers(loops, func() (backend.Driver, error) { return epoll.New(epoll.Config{}) })
	},
	"portable":      goroutines(portable.Config{}),
	"uring-defer":   rings(uring.Config{Rung: "defer"}),
	"uring-coop":    rings(uring.Config{Rung: "coop"}),
	"uring-plain":   rings(uring.Config{Rung: "plain"}),
	"uring-oneshot": rings(uring.Config{Rung: "oneshot"}),
	"uring-tiny":    rings(uring.Config{Entries: 4, CompletionEntries: 8, Buffers: 4, BufferSize: 64}),
}

func goroutines(c portable.Config) func() ([]backend.Driver, error) {
	return func() ([]backend.Driver, error) { return portable.NewAll(c, loops), nil }
}

func rings(c uring.Config) func() ([]backend.Driver, error) {
	return func() ([]backend.Driver, error) { return uring.NewAll(c, loops) }
}

// backends opens a Transport of each kind. Where io_uring cannot run those are left out; with TANDEM_REQUIRE_URING=1 that
// is a failure. TANDEM_DIFF_BACKEND chooses one.
func backends(t testing.TB) (all []difftest.Backend) {
	t.Helper()
	only := os.Getenv("TANDEM_DIFF_BACKEND")
	for name, open := range drivers {
		if only != "" && only != name {
			continue
		}
		made, err := open()
		if name != "epoll" && errors.Is(err, errors.ErrUnsupported) && os.Getenv("TANDEM_REQUIRE_URING") != "1" {
			t.Logf("NOT TESTED: %s cannot run here: %v", name, err)
			continue
		}
		require.NoError(t, err, name)
		e, err := session.New(session.Config{Drivers: made, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err, name)
		t.Cleanup(func() { _ = e.Close() })
		all = append(all, difftest.Backend{Name: name, Engine: e})
	}
	return all
}

// FuzzDifferential runs programs of any bytes on every backend, and on net.Conns. Each must do the same everywhere.
//
//	go test -fuzz FuzzDifferential -fuzzminimizetime 1x ./backend/difftest
//
// Which code runs depends on the kernel, too, so that go test would minimize each input for a minute in vain.
func FuzzDifferential(f *testing.F) {
	all := backends(f)
	f.Fuzz(func(t *testing.T, b []byte) { check(t, difftest.Decode(b), all) })
}

// TestRandomPrograms is FuzzDifferential with other programs each time, for 5 s, or TANDEM_DIFF_TIME. It prints its seed;
// TANDEM_DIFF_SEED=SEED runs the same programs again, in the same order on each of TANDEM_DIFF_WORKERS goroutines.
func TestRandomPrograms(t *testing.T) {
	seed := number("TANDEM_DIFF_SEED", uint64(time.Now().UnixNano()))
	length := 5 * time.Second
	if d, err := time.ParseDuration(os.Getenv("TANDEM_DIFF_TIME")); err == nil {
		length = d
	}
	var programs, runs atomic.Int64
	var workers sync.WaitGroup
	began := time.Now()
	for i := range number("TANDEM_DIFF_WORKERS", 2) {
		r, all := rand.New(rand.NewPCG(seed, i)), backends(t)
		workers.Go(func() {
			for time.Since(began) < length && !t.Failed() {
				if !check(t, difftest.Random(r), all) {
					return
				}
				programs.Add(1)
				runs.Add(int64(len(all)))
			}
		})
	}
	workers.Wait()
	t.Logf("TANDEM_DIFF_SEED=%d: %d programs, %d runs on backends", seed, programs.Load(), runs.Load())
}

// number reads a number from the environment.
func number(name string, otherwise uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// check runs a program everywhere. If it fails it is made smaller as long as it does, for at most half a minute, or
// TANDEM_DIFF_SHRINK.
func check(t *testing.T, p difftest.Program, all []difftest.Backend) bool {
	t.Helper()
	err := difftest.Run(p, all, 0)
	if err == nil {
		return true
	}
	var m *difftest.Mismatch
	if !errors.As(err, &m) {
		t.Errorf("%v\n%q", err, p.Encode())
		return false
	}
	few := all
	for _, b := range all {
		if b.Name == m.Backend {
			few = []difftest.Backend{b}
		}
	}
	var last error
	most := 30 * time.Second
	if d, err := time.ParseDuration(os.Getenv("TANDEM_DIFF_SHRINK")); err == nil {
		most = d
	}
	until := time.Now().Add(most)
	small := difftest.Shrink(p, func(q difftest.Program) bool {
		if time.Now().After(until) {
			return false
		}
		err := difftest.Run(q, few, time.Second)
		if err != nil {
			last = err
		}
		return err != nil
	})
	t.Errorf("%v\n%q\n\nthe last that failed while it was made smaller:\n%v\n%q", err, p.Encode(), last, small.Encode())
	return false
}

// TestProgram runs the program whose bytes TANDEM_DIFF_PROGRAM has, quoted as failures print them, a hundred times.
func TestProgram(t *testing.T) {
	text, err := strconv.Unquote(os.Getenv("TANDEM_DIFF_PROGRAM"))
	if err != nil {
		t.Skip("TANDEM_DIFF_PROGRAM is not set")
	}
	all := backends(t)
	p := difftest.Decode([]byte(text))
	t.Logf("\n%v", p)
	for range 100 {
		require.NoError(t, difftest.Run(p, all, 0))
	}
}
