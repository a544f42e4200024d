package backend

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fakeDriver sleeps until it is woken, and reports what a test gives it.
type fakeDriver struct {
	deadDriver
	start  error
	poll   func() (int, error) // instead of looking
	woken  chan struct{}
	closed int
	fail   error // of Close
}

func newFake() *fakeDriver { return &fakeDriver{woken: make(chan struct{}, 1)} }

func (d *fakeDriver) Start(*Counters) error    { return d.start }
func (d *fakeDriver) Close() error             { d.closed++; return d.fail }
func (d *fakeDriver) Outstanding() Outstanding { return Outstanding{} }
func (d *fakeDriver) Attach(*Socket) error     { return nil }

func (d *fakeDriver) Wake() {
	select {
	case d.woken <- struct{}{}:
	default:
	}
}

func (d *fakeDriver) Poll(wait time.Duration) (int, error) {
	if d.poll != nil {
		return d.poll()
	}
	var timeout <-chan time.Time
	switch {
	case wait == 0:
		return d.released.Report(), nil
	case wait > 0:
		timeout = time.After(wait)
	}
	select {
	case <-d.woken:
	case <-timeout:
	}
	return 0, nil
}

// movable is a driver that can follow its loop to another goroutine.
type movable struct {
	*fakeDriver
	moved int
}

func (d *movable) Move() error { d.moved++; return nil }

// lateFunc is a function as a TurnEnder.
type lateFunc func()

func (f lateFunc) OnTurnEnd() { f() }

// life is a loop that runs, and what became of it.
type life struct {
	*Loop
	t    *testing.T
	fake *fakeDriver
	mu   sync.Mutex
	log  []string
	died []error
}

func newLife(t *testing.T) *life {
	f := &life{t: t, fake: newFake()}
	f.Loop = NewLoop(LoopConfig{Driver: f.fake, CPU: -1, Died: func(err error) {
		assert.True(t, f.OnLoop(), "Died on another goroutine")
		assert.True(t, f.Stepping(), "Died is no callback")
		assert.Equal(t, 1, f.fake.closed, "the driver in Died")
		f.died = append(f.died, err)
		f.note("died")
	}})
	return f
}

func (f *life) note(what string) { f.mu.Lock(); f.log = append(f.log, what); f.mu.Unlock() }

func (f *life) post(fn func()) { require.NoError(f.t, f.Post(TaskFunc(fn))) }

// run runs the loop, with posts in its first turn.
func (f *life) run(posts ...func()) {
	for _, fn := range posts {
		f.post(fn)
	}
	go func() { _ = f.Run() }()
}

// end waits for the loop's end and looks at what must hold then.
func (f *life) end() error {
	f.t.Helper()
	select {
	case <-f.Done():
	case <-time.After(5 * time.Second):
		f.t.Fatal("the loop does not end")
	}
	assert.Equal(f.t, 1, f.fake.closed, "the driver was closed")
	assert.False(f.t, f.Bound())
	assert.ErrorIs(f.t, f.Post(TaskFunc(func() { f.t.Error("a refused task ran") })), net.ErrClosed)
	why := f.Err()
	if why == nil {
		why = net.ErrClosed
	}
	assert.ErrorIs(f.t, f.Driver.Attach(nil), why, "what begins now is told what the loop has died of")
	return f.Err()
}

// TestLoopDeath has a loop die in every way. All of it runs on the loop's goroutine, and what was posted runs once.
func TestLoopDeath(t *testing.T) {
	failure := errors.New("the kernel has gone")
	exit := func() { runtime.Goexit() }
	ways := map[string]struct {
		want  error
		cause func(f *life)
	}{
		"the driver does not start": {failure, func(f *life) { f.fake.start = failure; f.run() }},
		"the driver fails":          {failure, func(f *life) { f.fake.poll = func() (int, error) { return 0, failure }; f.run() }},
		"Fail":                      {failure, func(f *life) { f.run(func() { f.Fail(failure); f.Fail(net.ErrClosed) }) }},
		"Goexit in a task":          {ErrGoexit, func(f *life) { f.run(exit) }},
		"Goexit at the end of a turn": {ErrGoexit, func(f *life) {
			f.run(func() { f.AtTurnEnd(lateFunc(exit)); f.AtTurnEnd(lateFunc(func() { f.note("late") })) })
		}},
		"Goexit in an event": {ErrGoexit, func(f *life) { f.fake.poll = func() (int, error) { exit(); return 0, nil }; f.run() }},
		"Goexit in a timer": {ErrGoexit, func(f *life) {
			f.run(func() { f.StartTimer(&Timer{Fire: exit}, time.Microsecond) })
		}},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			f := newLife(t)
			way.cause(f)
			for f.Post(TaskFunc(func() { assert.True(t, f.OnLoop()); f.note("task") })) == nil {
				runtime.Gosched()
				f.note("posted")
			}
			require.ErrorIs(t, f.end(), way.want)
			require.Len(t, f.died, 1)
			require.ErrorIs(t, f.died[0], way.want)
			count := map[string]int{}
			for _, what := range f.log {
				count[what]++
			}
			assert.Equal(t, count["posted"], count["task"], "accepted tasks and those that ran")
			if name == "Goexit at the end of a turn" {
				assert.Equal(t, 1, count["late"], "the other that waited for the end of the turn")
			}
		})
	}
}

// Tasks behind one that ends the goroutine run all the same, before Died.
func TestGoexitLosesNoTask(t *testing.T) {
	f := newLife(t)
	f.run(func() { f.note("first") }, runtime.Goexit, func() { f.note("second") }, runtime.Goexit, func() { f.note("third") })
	require.ErrorIs(t, f.end(), ErrGoexit)
	require.Equal(t, []string{"first", "second", "third", "died"}, f.log)
}

// A callback of Died may call Goexit, too. Died is called again until it returns, each time as the loop's goroutine.
func TestGoexitInDied(t *testing.T) {
	f := newLife(t)
	streams := 5
	f.cfg.Died = func(err error) {
		for streams > 0 {
			streams--
			assert.True(t, f.OnLoop())
			f.note("ended")
			runtime.Goexit()
		}
		f.note(err.Error())
	}
	f.fake.start = net.ErrClosed
	f.run()
	require.ErrorIs(t, f.end(), net.ErrClosed)
	require.Equal(t, []string{"ended", "ended", "ended", "ended", "ended", net.ErrClosed.Error()}, f.log)
}

// A loop that was stopped and not killed ends without Died, unless a task that is run last calls Goexit.
func TestLoopEnd(t *testing.T) {
	t.Run("in peace", func(t *testing.T) {
		f := newLife(t)
		f.run(f.Stop, func() { f.note("task") })
		require.NoError(t, f.end())
		require.Equal(t, []string{"task"}, f.log)
	})
	t.Run("Goexit at last", func(t *testing.T) {
		f := newLife(t)
		f.run(func() { f.Stop(); _ = f.Post(TaskFunc(runtime.Goexit)); f.post(func() { f.note("task") }) })
		require.ErrorIs(t, f.end(), ErrGoexit)
		require.Equal(t, []string{"task", "died"}, f.log)
	})
	t.Run("the driver's error", func(t *testing.T) {
		f := newLife(t)
		f.fake.fail = net.ErrClosed
		f.run(f.Stop)
		require.ErrorIs(t, f.end(), net.ErrClosed)
		require.Empty(t, f.log)
	})
}

// Tasks that post themselves, and whoever always asks for another end of the turn, cannot keep a loop from ending.
func TestLoopEndDespiteReposting(t *testing.T) {
	f := newLife(t)
	var again, late func()
	refused := 0
	again = func() {
		if errors.Is(f.Post(TaskFunc(again)), net.ErrClosed) {
			refused++
		}
	}
	late = func() { f.AtTurnEnd(lateFunc(late)) }
	f.run(again, again, late, func() { f.Stop() })
	require.NoError(t, f.end())
	require.Equal(t, 2, refused)
}

// A new goroutine may get the memory of one that has ended. It must not pass for the loop's.
func TestNoImpostor(t *testing.T) {
	for range 20 {
		f := newLife(t)
		f.run(runtime.Goexit)
		require.ErrorIs(t, f.end(), ErrGoexit)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { assert.False(t, f.OnLoop() || f.Stepping()) })
		}
		wg.Wait()
	}
}

// What Released has to be told to after the driver's end is told, although a callback calls Goexit.
func TestReleaseAfterDeath(t *testing.T) {
	f := newLife(t)
	released := 0
	f.cfg.Died = func(error) {
		for ; len(f.log) < 3; f.note("release") {
			s := &Socket{Owner: &releasedFunc{fn: func() { released++; runtime.Goexit() }}}
			f.Driver.Release(s)
		}
	}
	f.run(runtime.Goexit)
	require.ErrorIs(t, f.end(), ErrGoexit)
	require.Equal(t, 3, released)
	require.Zero(t, f.Outstanding())
}

type releasedFunc struct {
	NoEvents
	fn func()
}

func (o *releasedFunc) Released() { o.fn() }

// A panic is the caller's. One that recovers may go on, and no task is lost.
func TestStepAfterAPanic(t *testing.T) {
	f := newLife(t)
	require.NoError(t, f.Bind())
	f.post(func() { panic("task") })
	f.post(func() {
		f.note("task")
		f.AtTurnEnd(lateFunc(func() { panic("late") }))
		f.AtTurnEnd(lateFunc(func() { f.note("late") }))
	})
	step := func() { _, _ = f.Step(0) }
	require.PanicsWithValue(t, "task", step)
	require.PanicsWithValue(t, "late", step)
	require.NotPanics(t, step)
	require.Equal(t, []string{"task", "late"}, f.log)
	require.NoError(t, f.End())
	_, err := f.Step(0)
	require.ErrorIs(t, err, net.ErrClosed)
}

// A loop that is stepped dies in Step: the error tells.
func TestStepOfALoopThatDies(t *testing.T) {
	f := newLife(t)
	require.NoError(t, f.Bind())
	_, err := f.Step(0)
	require.NoError(t, err)
	f.fake.poll = func() (int, error) { return 0, net.ErrWriteToConnected }
	for range 2 {
		_, err = f.Step(0)
		require.ErrorIs(t, err, net.ErrWriteToConnected)
	}
	require.ErrorIs(t, f.end(), net.ErrWriteToConnected)
	require.ErrorIs(t, f.Bind(), net.ErrWriteToConnected)
	require.ErrorIs(t, f.End(), net.ErrWriteToConnected)
	require.Len(t, f.died, 1)
}

// In a callback nobody steps, ends, or takes over.
func TestStepInACallback(t *testing.T) {
	f := newLife(t)
	require.NoError(t, f.Bind())
	f.post(func() {
		_, err := f.Step(0)
		assert.ErrorIs(t, err, ErrOnLoop)
		assert.ErrorIs(t, f.End(), ErrOnLoop)
		assert.ErrorIs(t, f.TakeOver(context.Background()), ErrOnLoop)
		assert.NoError(t, f.Bind())
	})
	_, err := f.Step(0)
	require.NoError(t, err)
	require.NoError(t, f.End())
}
