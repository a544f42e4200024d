package httpsession_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// rawKeeper answers as keeper does, and spoils what it was lent.
func rawKeeper(t *testing.T) func(x *httpsession.RawExchange) {
	return func(x *httpsession.RawExchange) {
		token := string(x.Request.Get("x-token"))
		assert.Equal(t, token, string(x.Request.Content))
		assert.Equal(t, token, string(x.Request.Query()))
		assert.Equal(t, "host-"+token, string(x.Request.Host()))
		assert.Equal(t, http.MethodPost, string(x.Request.Method))
		assert.Empty(t, x.Response.Content(), "of somebody else")
		assert.NoError(t, x.Response.Add("X-Token", token))
		assert.NoError(t, x.Response.Add("X-Of-"+token, "a"))
		switch string(x.Request.Path()) {
		case "/late", "/flush":
			x.Response.SetContent(x.Request.Content)
			for _, part := range [][]byte{x.Request.Method, x.Request.Target, x.Request.Host()} {
				copy(part, strings.Repeat("\r\n", len(part)))
			}
			x.Request = nil
		case "/large":
			x.Response.SetContent([]byte(strings.Repeat(token, 1+100<<10/len(token))))
		case "/many":
			for i := range 50 {
				assert.NoError(t, x.Response.Add(fmt.Sprint("X-Many-", i), token))
			}
			_, _ = x.Response.Write(x.Request.Content)
		case "/abort":
			_, _ = x.Response.WriteString("of " + token)
			panic(http.ErrAbortHandler)
		default:
			_, _ = x.Response.WriteString(token)
		}
	}
}

// TestRawLifetimes is TestLifetimes for a RawHandler.
func TestRawLifetimes(t *testing.T) {
	paths := []string{"/plain", "/late", "/flush", "/many", "/large"}
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		_, address := openRaw(t, &tandem.Options{Backend: b, Loops: 2}, rawKeeper(t), nil)
		askKeeperOften(t, address, paths)
	})
}

// TestRawExchangeIsForgotten looks at the RawExchange of a request that was answered: it keeps neither the request, nor the
// stream, nor content that was lent to it.
func TestRawExchangeIsForgotten(t *testing.T) {
	bothKernels(t, func(t *testing.T, b tandem.Backend) {
		kept := make(chan *httpsession.RawExchange, 1)
		streams := make(chan *tandem.Stream, 1)
		_, address := openRaw(t, &tandem.Options{Backend: b, Loops: 1}, func(x *httpsession.RawExchange) {
			x.Response.SetContent(make([]byte, 1<<20))
			kept <- x
			streams <- x.Stream()
		}, nil)
		c := dialPlain(t, address)
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		n, err := io.Copy(io.Discard, answer.Body)
		require.NoError(t, err)
		require.EqualValues(t, 1<<20, n)
		x, looked := <-kept, make(chan struct{})
		require.NoError(t, (<-streams).Post(func() {
			defer close(looked)
			assert.Nil(t, x.Request)
			assert.Nil(t, x.Stream())
			assert.Empty(t, x.Response.Content())
		}))
		<-looked
	})
}

// TestIdleConnections has clients that send much, get their answer, and stay. Nothing of their requests stays with them.
func TestIdleConnections(t *testing.T) {
	const clients, size = 24, 1 << 20
	ask := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n%x\r\n%s\r\n0\r\n\r\n", size, strings.Repeat("b", size))
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // twice, for what is in a sync.Pool
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	raw := httpsession.RawHandler(func(x *httpsession.RawExchange) { _, _ = x.Response.Write(x.Request.Content) }, nil)
	plain := httpsession.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), nil)
	for name, h := range map[string]session.Handler{"RawHandler": raw, "Handler": plain} {
		t.Run(name, func(t *testing.T) {
			bothKernels(t, func(t *testing.T, b tandem.Backend) {
				tr, _ := openRaw(t, &tandem.Options{Backend: b, Loops: 1}, rawSite, nil)
				l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
				require.NoError(t, err)
				before := heap()
				for range clients {
					c := dialPlain(t, l.Addr().String())
					_, err := io.WriteString(c, ask)
					require.NoError(t, err)
					answer, err := http.ReadResponse(bufio.NewReader(c), nil)
					require.NoError(t, err)
					n, err := io.Copy(io.Discard, answer.Body)
					require.NoError(t, err)
					require.EqualValues(t, size+1, n)
				}
				assert.Less(t, heap()-before, clients*size/2, "bytes, for %d clients that sent %d each", clients, size)
			})
		})
	}
}
