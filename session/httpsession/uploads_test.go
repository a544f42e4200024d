package httpsession_test

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// inParts asks for parts of every request.
func inParts(*http1.Request) bool { return true }

// uploads takes content of any size, on the loop, and answers with its length and sum.
func uploads() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum, n := sha256.New(), 0
		var x *httpsession.Async
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{
			Data: func(p []byte) { n += len(p); sum.Write(p) },
			End: func(trailer http.Header) {
				_, _ = fmt.Fprintf(x, "%d %x %s", n, sum.Sum(nil), trailer.Get("X-After"))
				_ = x.Close()
			},
		})
		if err != nil {
			panic(err)
		}
		if r.ContentLength == 0 {
			_ = x.Close()
		}
	})
}

// uploadsBlocking is uploads on a goroutine.
func uploadsBlocking() http.Handler {
	return httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "%d %x %s", n, sum.Sum(nil), r.Trailer.Get("X-After"))
	}))
}

// TestUploads sends content in all ways that net/http's client and curl know.
func TestUploads(t *testing.T) {
	const size = 4 << 20
	content := strings.Repeat("0123456789abcdef", size/16)
	want := fmt.Sprintf("%d %x ", size, sha256.Sum256([]byte(content)))
	for name, h := range map[string]http.Handler{"loop": uploads(), "blocking": uploadsBlocking()} {
		t.Run(name, func(t *testing.T) {
			handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
				c := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: patience}}
				defer c.CloseIdleConnections()
				for _, chunked := range []bool{false, true} {
					for _, expect := range []bool{false, true} {
						var body io.Reader = strings.NewReader(content)
						if chunked {
							body = io.MultiReader(body)
						}
						r, err := http.NewRequest("PUT", "http://"+address+"/", body)
						require.NoError(t, err)
						after := ""
						if chunked {
							after = "a trailer"
							r.Trailer = http.Header{"X-After": {after}}
						}
						if expect {
							r.Header.Set("Expect", "100-continue")
						}
						continued := false
						r = r.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }}))
						answer, err := c.Do(r)
						require.NoError(t, err)
						got, err := io.ReadAll(answer.Body)
						require.NoError(t, err)
						assert.Equal(t, want+after, string(got), "chunked %v, expects %v", chunked, expect)
						assert.Equal(t, expect, continued, "100 Continue")
					}
				}
			})
		})
	}
}

// TestCurlInParts uploads a file, and reads events as they come.
func TestCurlInParts(t *testing.T) {
	curl := tool(t, "curl")
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, []byte(large), 0o600))
	want := fmt.Sprintf("%d %x ", len(large), sha256.Sum256([]byte(large)))
	for name, h := range map[string]http.Handler{"loop": uploads(), "blocking": uploadsBlocking()} {
		t.Run(name, func(t *testing.T) {
			handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
				for _, args := range [][]string{
					{"-T", file}, {"-T", file, "-H", "Expect: 100-continue"}, {"-T", "-", "-H", "Expect: 100-continue"}, {"-T", "-"},
				} {
					got := run(t, strings.NewReader(large), curl, append([]string{"-sS", "--noproxy", "*", "http://" + address + "/"}, args...)...)
					assert.Equal(t, want, got, "curl %q", args)
				}
			})
		})
	}
	events := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		x, err := httpsession.StartAsync(w, httpsession.AsyncEvents{})
		if !assert.NoError(t, err) {
			return
		}
		n := 0
		x.Stream().Every(time.Millisecond, func() {
			if n++; n > 3 {
				_ = x.Close()
				return
			}
			_, _ = fmt.Fprintf(x, "data: %d\n\n", n)
			x.Flush()
		})
	})
	handling(t, events, nil, func(t *testing.T, address string, _ *sessiontest.Log) {
		got := run(t, nil, curl, "-sSN", "--noproxy", "*", "http://"+address+"/")
		assert.Equal(t, "data: 1\n\ndata: 2\n\ndata: 3\n\n", got)
	})
}

// TestRefusedWithoutReading answers from the head: a client that waits for 100 Continue sends nothing, small content is
// dropped and the connection goes on, and behind large content it ends.
func TestRefusedWithoutReading(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "next")
	})
	for name, h := range map[string]http.Handler{"loop": h, "blocking": httpsession.Blocking(h)} {
		t.Run(name, func(t *testing.T) {
			handling(t, h, &httpsession.ServerOptions{Parts: inParts}, func(t *testing.T, address string, _ *sessiontest.Log) {
				const next = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
				got := exchange(t, address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
				assert.Contains(t, got, "HTTP/1.1 403 ")
				assert.Contains(t, got, "Connection: close\r\n")
				assert.NotContains(t, got, "100 Continue")
				for _, head := range []string{
					"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789",
					"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
				} {
					got = exchange(t, address, head+next)
					assert.Contains(t, got, "HTTP/1.1 403 ", head)
					assert.True(t, strings.HasSuffix(got, "next"), "%q: %q", head, got)
				}
				c := dialPlain(t, address)
				_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n")
				require.NoError(t, err)
				for range 16 {
					_, _ = c.Write(make([]byte, 1<<16)) // the server may have closed
				}
				_, _ = io.WriteString(c, "\r\n0\r\n\r\n"+next)
				all, _ := io.ReadAll(c)
				assert.Contains(t, string(all), "HTTP/1.1 403 ")
				assert.NotContains(t, string(all), "next", "1 MiB that nobody wanted was read")
			})
		})
	}
}

// TestUploadIsCutOff tells the handler once that its client has gone in the middle.
func TestUploadIsCutOff(t *testing.T) {
	ends, came := make(chan error, 10), make(chan bool, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := httpsession.StartAsync(w, httpsession.AsyncEvents{
			Data: func([]byte) { came <- true }, End: func(http.Header) { ends <- nil }, Close: func(err error) { ends <- err },
		})
		assert.NoError(t, err)
	})
	handling(t, h, &httpsession.ServerOptions{Parts: inParts, Limits: http1.Limits{PartsBytes: 1000}}, func(t *testing.T, address string, _ *sessiontest.Log) {
		for name, k := range map[string]struct {
			sends string
			reset bool
			want  error
		}{
			"finished":        {"Content-Length: 10\r\n\r\n01234", false, io.ErrUnexpectedEOF},
			"reset":           {"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n", true, nil},
			"no chunk":        {"Transfer-Encoding: chunked\r\n\r\n5\r\n01234xx", false, nil},
			"too large":       {"Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\nffff\r\n", false, nil},
			"too large known": {"Content-Length: 1001\r\n\r\n", false, nil},
		} {
			c := dialPlain(t, address)
			_, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\n"+k.sends)
			require.NoError(t, err)
			if strings.HasPrefix(name, "too large") {
				if name == "too large" {
					<-came
				}
				r, err := http.ReadResponse(bufio.NewReader(c), nil)
				require.NoError(t, err)
				assert.Equal(t, http.StatusRequestEntityTooLarge, r.StatusCode)
			} else if <-came; k.reset {
				_ = c.(*net.TCPConn).SetLinger(0)
			}
			_ = c.Close()
			if name == "too large known" {
				continue // the handler has never heard of it
			}
			select {
			case err := <-ends:
				assert.Error(t, err, name)
				if k.want != nil {
					assert.ErrorIs(t, err, k.want, name)
				}
			case <-time.After(patience):
				require.FailNow(t, "Close was not called", name)
			}
		}
		assert.Empty(t, ends, "an end was told twice")
	})
}
