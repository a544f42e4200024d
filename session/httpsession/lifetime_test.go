package httpsession_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// keeper is an http.Handler that keeps what it was given, uses it when its time is over, and answers in every way.
type keeper struct {
	t    *testing.T
	late sync.WaitGroup
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token := r.Header.Get("X-Token")
	body, err := io.ReadAll(r.Body)
	assert.NoError(k.t, err)
	assert.Equal(k.t, token, string(body))
	w.Header().Set("X-Token", token)
	w.Header().Set("X-Of-"+token, "a")
	switch r.URL.Path {
	case "/late":
		k.keep(w, r, token)
	case "/flush":
		_, _ = io.WriteString(w, token[:1])
		assert.NoError(k.t, http.NewResponseController(w).Flush())
		_, _ = io.WriteString(w, token[1:])
		return
	case "/async":
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{})
		if assert.NoError(k.t, err) {
			k.late.Add(1)
			go func() {
				defer k.late.Done()
				time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond)
				_, _ = io.WriteString(x, token)
				_ = x.Close()
				_, err := io.WriteString(x, "no more")
				assert.Error(k.t, err)
			}()
		}
		return
	case "/many":
		for i := range 50 {
			w.Header().Set(fmt.Sprint("X-Many-", i), token)
		}
	case "/large":
		_, _ = io.WriteString(w, token+strings.Repeat(token, 100<<10/len(token)))
		return
	case "/abort":
		_, _ = io.WriteString(w, "of "+token)
		k.keep(w, r, token)
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, token)
}

// keep has goroutines use what belongs to a request while it ends, and after.
func (k *keeper) keep(w http.ResponseWriter, r *http.Request, token string) {
	ctx, values := r.Context(), r.Header.Values("X-Token")
	child, stop := context.WithCancel(ctx)
	k.late.Add(2)
	go func() {
		defer k.late.Done()
		defer stop()
		select {
		case <-child.Done():
		case <-time.After(patience):
			assert.Fail(k.t, "the context of a request did not end")
		}
		assert.ErrorIs(k.t, ctx.Err(), context.Canceled)
		time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond) // while its memory may be used for the next request
		assert.Equal(k.t, token, values[0])
		assert.Equal(k.t, token, r.Header.Get("X-Token"))
		assert.Equal(k.t, "/"+r.URL.Path[1:]+"?"+token, r.RequestURI)
		assert.Equal(k.t, token, r.URL.RawQuery)
		assert.Equal(k.t, "host-"+token, r.Host)
	}()
	go func() { // on until it is told that its time is over
		defer k.late.Done()
		assert.True(k.t, refusedWrites(w), "a request is over, and its ResponseWriter takes what is written")
		w.WriteHeader(http.StatusTeapot)
		w.Header()
		assert.Error(k.t, http.NewResponseController(w).Flush())
		_, _, err := http.NewResponseController(w).Hijack()
		assert.Error(k.t, err)
		_, err = httpsession.StartAsync(w, httpsession.AsyncEvents{})
		assert.Error(k.t, err)
	}()
}

// refusedWrites reports whether w, whose request ends, comes to refuse what is written.
func refusedWrites(w io.Writer) bool {
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Microsecond) {
		if _, err := io.WriteString(w, ""); err != nil {
			return true
		}
	}
	return false
}

// TestWritesEndWithAPanic has a handler panic that has left a goroutine behind, which writes until it gets an error.
func TestWritesEndWithAPanic(t *testing.T) {
	for _, panics := range []any{http.ErrAbortHandler, "a panic"} {
		refused := make(chan bool, 1)
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			go func() { refused <- refusedWrites(w) }()
			panic(panics)
		})
		tr, err := tandem.Open(&tandem.Options{Backend: tandem.Epoll, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(h, nil), nil)
		require.NoError(t, err)
		c := dialPlain(t, l.Addr().String())
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		assert.True(t, <-refused, "after a panic with %v", panics)
		require.NoError(t, tr.Close())
	}
}

// TestLifetimes has many clients ask a keeper in pipelines, and looks for the bytes of one exchange in another.
func TestLifetimes(t *testing.T) {
	paths := []string{"/plain", "/late", "/flush", "/async", "/many", "/large", "/blocking", "/late", "/plain"}
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		k := &keeper{t: t}
		mux := http.NewServeMux()
		mux.Handle("/", k)
		mux.Handle("/blocking", httpsession.Blocking(k))
		tr, address := listenOn(t, &tandem.Options{Backend: b, Loops: 2}, httpsession.Handler(mux, nil))
		askKeeperOften(t, address, paths)
		require.NoError(t, tr.Close()) // a client that was reset may have left requests behind, which are served meanwhile
		k.late.Wait()
	})
}

// askKeeperOften has several clients ask at a time, some times each.
func askKeeperOften(t *testing.T, address string, paths []string) {
	var clients sync.WaitGroup
	for c := range 6 {
		clients.Go(func() {
			for round := range 4 {
				r := rand.New(rand.NewPCG(uint64(c), uint64(round)))
				askKeeper(t, address, fmt.Sprint(c, "-", round, "-"), paths, r)
			}
		})
	}
	clients.Wait()
}

// askKeeper sends requests in one pipeline, cut anywhere, and checks each answer.
func askKeeper(t *testing.T, address, name string, paths []string, r *rand.Rand) {
	c, err := net.Dial("tcp", address)
	if !assert.NoError(t, err) {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	var all strings.Builder
	var tokens []string
	for i := range 20 {
		token := fmt.Sprint(name, i)
		tokens = append(tokens, token)
		fmt.Fprintf(&all, "POST %s?%s HTTP/1.1\r\nHost: host-%s\r\nX-Token: %s\r\n", paths[r.IntN(len(paths))], token, token, token)
		if r.IntN(2) == 0 {
			fmt.Fprintf(&all, "Content-Length: %d\r\n\r\n%s", len(token), token)
		} else {
			fmt.Fprintf(&all, "Transfer-Encoding: chunked\r\n\r\n1\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", token[:1], len(token)-1, token[1:])
		}
	}
	aborts := r.IntN(3) == 0
	if aborts {
		fmt.Fprintf(&all, "POST /abort?%[1]sx HTTP/1.1\r\nHost: host-%[1]sx\r\nX-Token: %[1]sx\r\nContent-Length: %[2]d\r\n\r\n%[1]sx", name, len(name)+1)
	}
	go func() {
		for rest := all.String(); len(rest) > 0; {
			n := min(1+r.IntN(300), len(rest))
			if _, err := io.WriteString(c, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
			time.Sleep(time.Duration(n%3) * 100 * time.Microsecond) // so that pieces come by themselves
		}
	}()
	in := bufio.NewReader(c)
	for i, token := range tokens {
		answer, err := http.ReadResponse(in, nil)
		if aborts && err != nil {
			return // the reset has overtaken what was sent
		}
		if !assert.NoError(t, err, "answer %d of %s", i, name) {
			return
		}
		content, err := io.ReadAll(answer.Body)
		if aborts && err != nil {
			return
		}
		assert.NoError(t, err)
		assert.Equal(t, token, answer.Header.Get("X-Token"))
		assert.Empty(t, strings.ReplaceAll(string(content), token, ""), "content for %s", token)
		for field := range answer.Header {
			if of, is := strings.CutPrefix(field, "X-Of-"); is {
				assert.Equal(t, token, strings.ToLower(of), "a field of somebody else")
			}
		}
	}
}

// TestServerForgetsWhatItContinued has a client that waited for 100 Continue stay idle: its request is not kept.
func TestServerForgetsWhatItContinued(t *testing.T) {
	s, client := attend(t)
	gone := make(chan struct{})
	func() {
		say(t, client, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
		until(t, func() bool {
			_, _, err := s.Read()
			require.NoError(t, err)
			_, err = s.Drive()
			require.NoError(t, err)
			return strings.HasSuffix(heard(t, client), " 100 Continue\r\n\r\n")
		})
		say(t, client, "cont")
		r, err := next(t, s, s)
		require.NoError(t, err)
		require.Equal(t, "cont", string(r.Content))
		runtime.AddCleanup(r, func(struct{}) { close(gone) }, struct{}{})
		put(t, s, response(200, ""))
	}()
	for deadline := time.Now().Add(5 * time.Second); ; {
		runtime.GC()
		_, err := s.Drive()
		require.NoError(t, err)
		select {
		case <-gone:
			return
		case <-time.After(time.Millisecond):
			require.False(t, time.Now().After(deadline), "a request that was answered is kept")
		}
	}
}
