package backendtest

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/backend"
	"github.com/tandem-io/tandem/session"
)

// The rules on what waits for OnOpen, and on what happens if that never comes.
var openingRules = []Rule{
	{"S02_NothingBeforeOnOpen", nothingBeforeOnOpen},
	{"S02_PostAndClose", postAndClose},
	{"S02_PostToTheUnopened", postToTheUnopened},
	{"S02_PostForEver", postForEver},
	{"S22_SetBeforeOnOpen", idleSetBeforeOnOpen},
	{"S30_AddressesFromOnOpen", addressesFromOnOpen},
}

// opening is a stream whose OnOpen is held up.
type opening struct {
	s    *session.Stream
	p    Peer
	goOn func() // lets OnOpen return
}

// roomy has sockets keep some bytes that nobody reads.
func (e *Env) roomy() []backend.SocketOption {
	if e.Network == "unix" {
		return nil // it is the sender that keeps them
	}
	return []backend.SocketOption{backend.ReceiveBuffer(200_000)}
}

// heldUp begins a stream on t, and returns when its OnOpen, which calls first, is running. A dialled stream is given to
// before, while it is being dialled.
func (e *Env) heldUp(t *session.Engine, h *Hooks, o session.StreamOptions, before, first func(*session.Stream)) opening {
	e.Helper()
	h.env(e)
	in, release, given := make(chan *session.Stream, 1), make(chan struct{}), make(chan struct{})
	h.Open = func(s *session.Stream) {
		await(given) // the kernel connects without an Accept
		first(s)
		in <- s
		await(release)
	}
	result := opening{goOn: sync.OnceFunc(func() { close(release) })}
	if e.Dialled {
		l, err := net.Listen(e.Network, e.Address())
		require.NoError(e, err)
		defer l.Close()
		s, err := t.Connect(e.Network, l.Addr().String(), h, &session.DialOptions{StreamOptions: o, Socket: e.roomy()})
		require.NoError(e, err)
		before(s)
		close(given)
		c, err := l.Accept()
		require.NoError(e, err)
		result.p = e.plain(c)
	} else {
		close(given)
		l, err := t.Listen(e.Network, e.Address(), h, &session.ListenOptions{StreamOptions: o, Socket: e.roomy()})
		require.NoError(e, err)
		e.Cleanup(func() { _ = l.Close() }) // which waits for the loop
		result.p = e.Connect(l.Addr())
	}
	e.Cleanup(result.goOn) // first of all
	result.s = arrives(e, in)
	return result
}

// promised are functions of one stream that wait for OnOpen, by name.
type promised struct {
	h   *Hooks
	mu  sync.Mutex // guards ran
	ran []string
}

func (p *promised) fn(s *session.Stream, name string) func() {
	return func() {
		defer p.h.enter(s, name)()
		p.mu.Lock()
		p.ran = append(p.ran, name)
		p.mu.Unlock()
	}
}

func (p *promised) all() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ran...)
}

// nothingBeforeOnOpen gives a stream everything there is to do while its OnOpen is running.
func nothingBeforeOnOpen(e *Env) {
	t := e.oneLoop()
	h := NewHooks()
	p := &promised{h: h}
	var want []string
	post := func(s *session.Stream, name string) {
		want = append(want, name)
		assert.NoError(e, s.Post(p.fn(s, name)))
	}
	o := e.heldUp(t, h, session.StreamOptions{}, func(s *session.Stream) {
		post(s, "Post while it is dialled")
		s.After(0, p.fn(s, "After while it is dialled"))
	}, func(s *session.Stream) {
		post(s, "Post in OnOpen")
		s.After(0, p.fn(s, "After in OnOpen"))
	})
	s := o.s
	for _, name := range []string{"Post 1", "Post 2", "Post 3"} {
		post(s, name)
	}
	s.After(0, p.fn(s, "After"))
	every := s.Every(time.Millisecond, p.fn(s, "Every"))
	require.NoError(e, s.WriteNotify([]byte("hello"), func(error) { p.fn(s, "WriteNotify")() }))
	s.PauseRead()
	s.ResumeRead()
	e.writeAll(o.p, Pattern(1000))
	time.Sleep(moment)
	assert.Empty(e, p.all(), "what ran before OnOpen had returned")
	assert.Zero(e, h.Count("OnData"), "calls of OnData before OnOpen had returned")
	o.goOn()
	e.Eventually(func() bool { return h.Len() == 1000 }, "the bytes that came meanwhile")
	for _, name := range []string{"After", "After in OnOpen", "Every", "WriteNotify"} {
		e.Eventually(func() bool { return h.Count(name) > 0 }, "%s", name)
	}
	every.Stop()
	assert.Equal(e, want, keepIf(p.all(), func(name string) bool { return name[:4] == "Post" }), "functions given to Post")
	assert.Equal(e, "hello", string(e.ReadAll(o.p, 5)))
	for _, name := range append(want, "After", "After in OnOpen", "WriteNotify") {
		assert.Equal(e, 1, h.Count(name), name)
	}
}

// posters post to a stream from several goroutines, until that is refused.
type posters struct {
	s             *session.Stream
	h             *Hooks
	accepted, ran atomic.Int64
	done          sync.WaitGroup
}

func (p *posters) start() {
	for range 4 {
		p.done.Go(func() {
			for {
				err := p.s.Post(func() {
					if p.h != nil {
						defer p.h.enter(p.s, "Post")()
					}
					p.ran.Add(1)
				})
				if err != nil {
					assert.ErrorIs(p.h.e, err, net.ErrClosed)
					return
				}
				p.accepted.Add(1)
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
}

// postAndClose posts to streams while they end in every way. What was accepted runs once, before OnClose.
func postAndClose(e *Env) {
	for what, end := range map[string]func(s *session.Stream, p Peer){
		"Close":  func(s *session.Stream, _ Peer) { _ = s.Close() },
		"Abort":  func(s *session.Stream, _ Peer) { _ = s.Abort() },
		"FIN":    func(_ *session.Stream, p Peer) { _ = p.CloseWrite() },
		"reset":  func(_ *session.Stream, p Peer) { _ = p.Reset() },
		"panic":  func(s *session.Stream, _ Peer) { _ = s.Post(func() { panic("on purpose") }) },
		"Detach": func(s *session.Stream, _ Peer) { c, _ := s.Detach(); e.Cleanup(func() { _ = c.Close() }) },
		"silence": func(s *session.Stream, _ Peer) {
			s.SetIdleTimeout(time.Millisecond)
		},
	} {
		e.Scenario(what, func() {
			for range 3 {
				h := NewHooks()
				s, p := e.Pair(h, session.StreamOptions{})
				posts := &posters{s: s, h: h}
				posts.start()
				time.Sleep(time.Millisecond) // some functions have run
				end(s, p)
				_ = h.Closed()
				assert.ErrorIs(e, s.Post(func() { e.Error("it runs after the end") }), net.ErrClosed, what)
				posts.done.Wait()
				assert.Equal(e, posts.accepted.Load(), posts.ran.Load(), "%s: functions that were accepted, and that ran before OnClose", what)
			}
		})
	}
}

// postToTheUnopened posts to streams that never open. What was accepted runs once, behind OnClose.
func postToTheUnopened(e *Env) {
	file, nowhere, err := bound()
	require.NoError(e, err)
	defer file.Close()
	for what, end := range map[string]func(*session.Stream){
		"refused": func(*session.Stream) {}, "Abort": func(s *session.Stream) { _ = s.Abort() }, "Close": func(s *session.Stream) { _ = s.Close() },
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			h.env(e)
			var over atomic.Bool
			h.Close = func(*session.Stream, error) { time.Sleep(time.Millisecond); over.Store(true) } // time for a wrong one
			s, err := e.Under().Connect("tcp", nowhere.String(), h, nil)
			require.NoError(e, err)
			var mu sync.Mutex
			var ran, want []int
			for i := range 100 {
				err := s.Post(func() {
					mu.Lock()
					ran = append(ran, i)
					mu.Unlock()
					assert.True(e, over.Load(), "%s: a posted function ran before OnClose had returned", what)
				})
				if err != nil {
					break
				}
				if want = append(want, i); i == 50 {
					end(s)
				}
			}
			require.Error(e, h.Closed(), what)
			e.Eventually(func() bool { mu.Lock(); defer mu.Unlock(); return len(ran) >= len(want) }, "%s: the posted functions", what)
			assert.Equal(e, want, ran, what)
			assert.ErrorIs(e, s.Post(func() { e.Error("it runs after the end") }), net.ErrClosed)
		})
	}
}

// postForEver closes a stream whose posted function posts itself again. That holds up neither another stream nor the end.
func postForEver(e *Env) {
	t := e.oneLoop()
	other := echo()
	_, q := e.PairOn(t, other, session.StreamOptions{})
	h := NewHooks()
	s, _ := e.PairOn(t, h, session.StreamOptions{})
	var again func()
	again = func() {
		if err := s.Post(again); err != nil {
			assert.ErrorIs(e, err, net.ErrClosed)
		}
	}
	require.NoError(e, s.Post(again))
	for range 3 {
		e.pingPong(q)
	}
	require.NoError(e, s.Close())
	h.closedWith(nil)
}

// idleSetBeforeOnOpen sets times of silence while there is no connection yet, and while OnOpen is running.
func idleSetBeforeOnOpen(e *Env) {
	const limit = 20 * time.Millisecond
	for what, set := range map[string]func(*session.Stream){
		"SetIdleTimeout":     func(s *session.Stream) { s.SetIdleTimeout(limit) },
		"SetReadIdleTimeout": func(s *session.Stream) { s.SetReadIdleTimeout(limit) },
	} {
		e.Scenario(what, func() {
			h := NewHooks()
			var opened time.Time
			nothing := func(*session.Stream) {}
			before, first := set, nothing
			if !e.Dialled {
				before, first = nothing, set
			}
			o := e.heldUp(e.Under(), h, session.StreamOptions{}, before, first)
			time.Sleep(2 * limit) // it begins to count when OnOpen has returned
			opened = time.Now()
			o.goOn()
			err := h.Closed()
			assert.ErrorIs(e, err, os.ErrDeadlineExceeded, what)
			assert.GreaterOrEqual(e, time.Since(opened), limit, what)
		})
	}
}

// addressesFromOnOpen has peers that are gone when they are accepted. Nobody gets a nil address.
func addressesFromOnOpen(e *Env) {
	t := e.oneLoop()
	busy, _ := e.PairOn(t, NewHooks(), session.StreamOptions{})
	h := NewHooks()
	h.env(e)
	look := func(s *session.Stream, where string) {
		for what, a := range map[string]net.Addr{"LocalAddr": s.LocalAddr(), "RemoteAddr": s.RemoteAddr()} {
			if !assert.NotNil(e, a, "%s in %s", what, where) {
				continue
			}
			assert.Equal(e, e.Network, a.Network())
			_ = a.String() // must not panic
		}
	}
	h.Open = func(s *session.Stream) { look(s, "OnOpen") }
	h.Data = func(s *session.Stream) { look(s, "OnData"); h.Collect(s) }
	h.Close = func(s *session.Stream, _ error) { look(s, "OnClose") }
	l, err := t.Listen(e.Network, e.Address(), h, nil)
	require.NoError(e, err)
	hold, held := make(chan struct{}), make(chan struct{})
	require.NoError(e, busy.Post(func() { close(held); await(hold) }))
	require.True(e, await(held))
	const n = 10
	for i := range n {
		p := e.dialPlain(l.Addr())
		if i%2 == 0 {
			_, _ = p.Write([]byte("x"))
		}
		if err := p.Reset(); err != nil && !errors.Is(err, net.ErrClosed) {
			require.NoError(e, err)
		}
	}
	close(hold)
	for range n {
		s := h.Opened()
		_ = h.Closed()
		look(s, "the test, after the end")
	}
	require.NoError(e, l.Close())
}
