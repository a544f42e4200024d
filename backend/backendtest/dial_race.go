package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session"
)

// Rules on dials in which several things end at once. Each attempt's descriptor has one owner, and is closed once.
var dialRaceRules = []Rule{
	{"S26_AttemptFailsAsTheDialEnds", attemptFailsAsTheDialEnds},
	{"S26_EndsInOpenBesideALoser", endsInOpenBesideALoser},
	{"S26_ResultsInOneTurn", resultsInOneTurn},
	{"S26_EndsWheneverWhileDialling", endsWhenever},
	{"S26_ContextEndsInOpen", contextEndsInOpen},
	{"S26_ContextEndsWhenever", contextEndsWhenever},
}

// stays is a handler that keeps its stream open while its Transport shuts down.
type stays struct{ *Hooks }

// OnDrain implements session.Drainer.
func (stays) OnDrain(*session.Stream) {}

// staysOpen has a stream on t that keeps its loop from ending. The function that it returns checks that it does, and
// aborts it.
func (e *Env) staysOpen(t *session.Engine) (check func()) {
	e.Helper()
	a, b := e.connPair("tcp")
	e.Cleanup(func() { _ = b.Close() })
	h := NewHooks()
	h.env(e)
	_, err := t.Adopt(a.(syscall.Conn), stays{h})
	require.NoError(e, err)
	return func() {
		e.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), moment)
		defer cancel()
		require.ErrorIs(e, t.Shutdown(ctx), context.DeadlineExceeded, "a stream is open")
		require.Error(e, h.Closed())
	}
}

// polls polls n times.
func (e *Env) polls(t *session.Engine, n int) {
	e.Helper()
	for range n {
		_, err := t.Poll(0)
		require.NoError(e, err)
	}
}

// attemptFailsAsTheDialEnds ends dials in every turn from the beginning on: before, when and after the attempt is
// refused. What an attempt holds is let go of once.
func attemptFailsAsTheDialEnds(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	check := e.staysOpen(t)
	f, refusing, err := bound()
	require.NoError(e, err)
	defer f.Close()
	for i := range 40 {
		h := NewHooks()
		h.env(e)
		s, err := t.Connect("tcp", refusing.String(), h, nil)
		require.NoError(e, err)
		e.polls(t, i%5)
		require.NoError(e, s.Abort())
		e.poll(func() bool { return len(h.closed) == 1 }, "OnClose", t)
		e.polls(t, 3)
	}
	check()
}

// endsInOpenBesideALoser ends streams in OnOpen while another attempt of the same dial has still to be let go of. What
// was written goes to the stream's peer or is lost, and never goes to a socket that the program opens next.
func endsInOpenBesideALoser(e *Env) {
	if !e.once() {
		return
	}
	dead, alive := e.samePort("127.0.0.8", "127.0.0.9")
	e.fill(dead)
	go drop(alive)
	_, port, _ := net.SplitHostPort(alive.Addr().String())
	o := &session.DialOptions{Resolver: names{"two.test.": loopbacks(8, 9)}.resolver(e)}
	stranger := e.listenPlain("tcp", "127.0.0.1:0")
	ends := map[string]func(*session.Stream){
		"Abort":       func(s *session.Stream) { _ = s.Abort() },
		"Close":       func(s *session.Stream) { _ = s.Close() },
		"Post(Abort)": func(s *session.Stream) { _ = s.Post(func() { _ = s.Abort() }) },
		"panic":       func(*session.Stream) { panic("on purpose") },
		"Detach": func(s *session.Stream) {
			if c, err := s.Detach(); assert.NoError(e, err) {
				_ = c.Close()
			}
		},
	}
	for what, end := range ends {
		var others []net.Conn
		h := NewHooks()
		h.env(e)
		h.Open = func(s *session.Stream) { _, _ = s.Write([]byte("secret")); end(s) }
		h.Close = func(*session.Stream, error) {
			for range 2 {
				c, err := net.Dial("tcp", stranger.Addr().String())
				assert.NoError(e, err)
				others = append(others, c)
			}
		}
		_, err := e.Under().Connect("tcp", "two.test.:"+port, h, o)
		require.NoError(e, err)
		h.Closed()
		time.Sleep(moment)
		for _, c := range others {
			require.NoError(e, c.Close(), what)
			heard, err := stranger.Accept()
			require.NoError(e, err)
			p, err := io.ReadAll(heard)
			require.NoError(e, err, what)
			require.Empty(e, p, "%s: what a stranger heard", what)
			_ = heard.Close()
		}
	}
	e.settled(e.Under())
}

// drop accepts connections, and reads them to their end.
func drop(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}()
	}
}

// resultsInOneTurn has two attempts whose results a loop finds at once, in all combinations: it looks only after the
// kernel has tried again, when what was silent has begun to accept, or to refuse.
func resultsInOneTurn(e *Env) {
	if !e.once() {
		return
	}
	t := e.driven(session.StreamOptions{})
	check := e.staysOpen(t)
	type result struct {
		first, second bool // accepts, in the end
		h             *Hooks
	}
	results := []result{{true, true, NewHooks()}, {true, false, NewHooks()}, {false, true, NewHooks()}, {false, false, NewHooks()}}
	listeners := map[net.Listener]bool{}
	for _, r := range results {
		first, second := e.samePort("127.0.0.8", "127.0.0.9")
		listeners[first], listeners[second] = r.first, r.second
		e.fill(first)
		e.fill(second)
		r.h.env(e)
		_, port, _ := net.SplitHostPort(first.Addr().String())
		o := &session.DialOptions{Resolver: names{"two.test.": loopbacks(8, 9)}.resolver(e), Timeout: patience}
		_, err := t.Connect("tcp", "two.test.:"+port, r.h, o)
		require.NoError(e, err)
	}
	e.poll(func() bool { return t.Stats().Sockets == 1+2*len(results) }, "two attempts of each", t)
	for l, accepts := range listeners {
		if accepts {
			go drop(l)
		} else {
			require.NoError(e, l.Close())
		}
	}
	time.Sleep(1500 * time.Millisecond) // the kernel tries again after a second
	for _, r := range results {
		what := fmt.Sprintf("first accepts %v, second %v", r.first, r.second)
		e.poll(func() bool { return len(r.h.opened)+len(r.h.closed) > 0 }, what, t)
		if r.first || r.second {
			require.NoError(e, r.h.Opened().Abort(), what)
		}
		e.poll(func() bool { return len(r.h.closed) > 0 }, what, t)
		if err := <-r.h.closed; !r.first && !r.second {
			e.dialError(err, "tcp", syscall.ECONNREFUSED)
		}
	}
	e.poll(func() bool { return t.Stats().Sockets == 1 }, "the end of all attempts", t)
	check()
}

// stages are dials in different states, by what they dial.
func (e *Env) stages() (addresses []string, o *session.DialOptions) {
	e.Helper()
	server := e.listenOn("tcp", "127.0.0.1:0", echo())
	_, port, _ := net.SplitHostPort(server.Addr().String())
	dead, alive := e.samePort("127.0.0.8", "127.0.0.9")
	e.fill(dead)
	go drop(alive)
	_, two, _ := net.SplitHostPort(alive.Addr().String())
	f, refusing, err := bound()
	require.NoError(e, err)
	e.Cleanup(func() { _ = f.Close() })
	_, closed, _ := net.SplitHostPort(refusing.String())
	n := names{"mute.test.": nil, "one.test.": loopbacks(1), "two.test.": loopbacks(8, 9), "many.test.": loopbacks(1, 2, 3, 4)}
	return []string{
		server.Addr().String(), refusing.String(), e.unreachable(), "one.test.:" + port, "two.test.:" + two,
		"mute.test.:1", "many.test.:" + closed, "[::]:" + port,
	}, &session.DialOptions{Resolver: n.resolver(e)}
}

// endsWhenever ends dials in all their states, at any time, from any goroutine. Each gets one OnClose, and what was
// given to it an answer.
func endsWhenever(e *Env) {
	if !e.once() {
		return
	}
	addresses, o := e.stages()
	before := len(takeCensus().files)
	cause := errors.New("the cause")
	ends := []func(*session.Stream) error{
		(*session.Stream).Close, (*session.Stream).Abort,
		func(s *session.Stream) error { return s.AbortWith(cause) },
		func(s *session.Stream) error { return s.Post(func() { _ = s.Abort() }) },
		func(s *session.Stream) error { _ = s.Close(); return s.Abort() },
	}
	for i := range 200 {
		h := NewHooks()
		h.env(e)
		var answers atomic.Int32
		s, err := e.Under().Connect("tcp", addresses[i%len(addresses)], h, o)
		require.NoError(e, err)
		notified := s.WriteNotify([]byte("x"), func(error) { answers.Add(1) }) == nil
		posted := s.Post(func() { answers.Add(1) }) == nil
		if i%3 > 0 {
			time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
		}
		_ = ends[rand.IntN(len(ends))](s)
		_ = s.Abort() // a function that was posted to a dial that never ends would not run
		h.Closed()
		want := int32(0)
		for _, given := range []bool{notified, posted} {
			if given {
				want++
			}
		}
		e.Eventually(func() bool { return answers.Load() == want }, "answers of %s", addresses[i%len(addresses)])
	}
	e.Eventually(func() bool { return e.Under().Stats().Sockets == 1 }, "no sockets but the listener's")
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
}

// contextEndsInOpen ends the context of a dial while OnOpen runs. Once connected, a stream is not the context's.
func contextEndsInOpen(e *Env) {
	if !e.once() {
		return
	}
	server := e.listenOn("tcp", "127.0.0.1:0", echo())
	for range 20 {
		ctx, cancel := context.WithCancel(context.Background())
		h := NewHooks()
		h.env(e)
		h.Open = func(*session.Stream) { cancel(); time.Sleep(time.Millisecond) } // Dial sees it while OnOpen runs
		s, err := e.Under().Dial(ctx, "tcp", server.Addr().String(), h, nil)
		require.NoError(e, err)
		_, err = s.Write([]byte("alive"))
		require.NoError(e, err)
		e.Eventually(func() bool { return h.Len() == 5 }, "an answer")
		require.NoError(e, s.Close())
		require.NoError(e, h.Closed())
	}
}

// contextEndsWhenever ends the contexts of dials at any time. Dial returns a stream that is alive, or there never was
// one. What is left of those that failed costs nothing.
func contextEndsWhenever(e *Env) {
	if !e.once() {
		return
	}
	addresses, o := e.stages()
	before := len(takeCensus().files)
	alive := 0
	for i := range 400 {
		address := addresses[i%len(addresses)]
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(time.Duration(rand.IntN(600))*time.Microsecond, cancel)
		h := NewHooks()
		h.env(e)
		s, err := e.Under().Dial(ctx, "tcp", address, h, o)
		cancel()
		if err != nil {
			require.Nil(e, s)
			require.Zero(e, h.Count("OnOpen")+h.Count("OnClose"), "callbacks of a dial that failed: %v", err)
			var op *net.OpError
			require.ErrorAs(e, err, &op, address)
			continue
		}
		alive++
		h.Opened()
		require.NoError(e, s.Close(), address)
		require.NoError(e, h.Closed(), address)
	}
	e.Logf("%d of 400 dials were connected in time", alive)
	e.Eventually(func() bool { return e.Under().Stats().Sockets == 1 }, "no sockets but the listener's")
	e.Eventually(func() bool { return len(takeCensus().files) <= before }, "no descriptor that is left")
	e.Eventually(func() bool {
		turns := e.Under().Stats().Turns
		time.Sleep(moment)
		return e.Under().Stats().Turns == turns
	}, "loops at rest")
}
