package httpsession_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// attend is a Server, and the client's end of its connection.
func attend(t *testing.T) (*httpsession.Server, *sessiontest.End) { return attendWith(t, nil) }

func attendWith(t *testing.T, o *httpsession.ServerOptions) (*httpsession.Server, *sessiontest.End) {
	a, b := sessiontest.Pair(1 << 20)
	s := httpsession.NewServer(a, o)
	t.Cleanup(func() { _ = s.Close() })
	return s, b
}

func TestServerPipeline(t *testing.T) {
	s, client := attend(t)
	say(t, client, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	for _, want := range []string{"GET /1 ", "HEAD /2 ", "POST /3 abc"} {
		r, err := next(t, s, s)
		require.NoError(t, err)
		assert.Equal(t, want, fmt.Sprintf("%s %s %s", r.Method, r.URL, r.Content))
	}
	for i := range 3 {
		put(t, s, response(200, fmt.Sprint("answer ", i+1)))
	}
	_, _, err := s.Write(response(200, ""))
	assert.Error(t, err, "a response that nobody asked for was taken")
	_, err = s.Drive()
	require.NoError(t, err)
	got := heard(t, client)
	assert.Equal(t, 3, strings.Count(got, "HTTP/1.1 200 OK\r\n"), "the client")
	assert.Equal(t, 3, strings.Count(got, "Content-Length: 8\r\n"), "the client")
	assert.NotContains(t, got, "answer 2", "the client")
	assert.True(t, strings.HasSuffix(got, "answer 3"), "the client")
}

func TestServerRefuses(t *testing.T) {
	for comes, status := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n": "400",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": "400",
		"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n":                  "431",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n":                             "413",
		"GET / HTTP/2.0\r\nHost: a\r\n\r\n":                                                             "505",
	} {
		s, client := attend(t)
		say(t, client, "GET /good HTTP/1.1\r\nHost: a\r\n\r\n"+comes)
		_, err := next(t, s, s)
		require.NoError(t, err)
		var wrong *frame.Error
		_, err = next(t, s, s)
		require.ErrorAs(t, err, &wrong, "%.50q", comes)
		assert.Empty(t, heard(t, client), "%.50q: refused before the answer that is due", comes)
		put(t, s, response(200, "good"))
		until(t, func() bool {
			_, err := s.Drive()
			require.NoError(t, err)
			return s.Status() == polled.Terminated
		})
		got := heard(t, client)
		good, refusal, _ := strings.Cut(got, "good")
		assert.True(t, strings.HasPrefix(good, "HTTP/1.1 200 "), "%.50q: the client got %q", comes, got)
		assert.True(t, strings.HasPrefix(refusal, "HTTP/1.1 "+status+" "), "%.50q: the client got %q", comes, got)
		assert.Contains(t, refusal, "Connection: close\r\n", "%.50q: the client got %q", comes, got)
		_, _, err = client.Read()
		assert.Equal(t, io.EOF, err, "%.50q: the connection goes on", comes)
	}
}

func TestServerContinue(t *testing.T) {
	s, client := attend(t)
	say(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	_, err := next(t, s, s)
	require.NoError(t, err)
	turn := func() string {
		_, status, err := s.Read()
		require.NoError(t, err)
		require.NotEqual(t, polled.Data, status)
		_, err = s.Drive()
		require.NoError(t, err)
		return heard(t, client)
	}
	assert.Empty(t, turn(), "continued before the answer that is due")
	put(t, s, response(200, ""))
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	got := turn() + turn() + turn()
	assert.True(t, strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n"), "the client")
	assert.Equal(t, 1, strings.Count(got, goOn), "the client")
	say(t, client, "co")
	assert.Empty(t, turn()+turn(), "within the content the client")
	say(t, client, "nt")
	r, err := next(t, s, s)
	require.NoError(t, err)
	require.Equal(t, "cont", string(r.Content))
}

func TestServerEnds(t *testing.T) {
	for name, k := range map[string]struct {
		comes  string
		closes bool
		answer *http1.Response
	}{
		"the client says so":         {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, response(200, "last")},
		"an old client":              {"GET / HTTP/1.0\r\n\r\n", false, response(200, "last")},
		"the response says so":       {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false, &http1.Response{Response: &http.Response{StatusCode: 200, Close: true}, Content: []byte("last")}},
		"the client has half closed": {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, response(200, "last")},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sessiontest.Pair(1 << 20)
			half := &halfClosing{End: a}
			s := httpsession.NewServer(half, nil)
			say(t, b, k.comes)
			_, err := next(t, s, s)
			require.NoError(t, err)
			if k.closes {
				half.finished = true
				_, err := next(t, s, s)
				require.Equal(t, io.EOF, err)
			}
			put(t, s, k.answer)
			until(t, func() bool {
				_, err := s.Drive()
				require.NoError(t, err)
				return s.Status() == polled.Terminated
			})
			assert.True(t, strings.HasSuffix(heard(t, b), "\r\n\r\nlast"), "the client")
			_, _, err = s.Read()
			assert.Equal(t, io.EOF, err, "Read at the end")
		})
	}
}

// halfClosing is an end whose peer can finish without closing.
type halfClosing struct {
	*sessiontest.End
	finished bool
}

func (h *halfClosing) Read() ([]byte, polled.ReadStatus, error) {
	p, status, err := h.End.Read()
	if status == polled.None && err == nil && h.finished {
		err = io.EOF
	}
	return p, status, err
}

// net/http's client, against a duty cycle that serves every connection.
func TestServerAgainstNetHTTP(t *testing.T) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		l, err := polled.Listen(tr, "tcp", "127.0.0.1:0", nil)
		require.NoError(t, err)
		defer l.Close()
		answers := make(chan error, 1)
		go func() { answers <- askNetHTTP("http://" + l.Addr().String()) }()
		var servers []*httpsession.Server
		until(t, func() bool {
			a, ok, err := l.Accept()
			require.NoError(t, err)
			if ok {
				servers = append(servers, httpsession.NewServer(a, nil))
			}
			for _, s := range servers {
				echoOnce(t, s)
			}
			select {
			case err := <-answers:
				assert.NoError(t, err)
				return true
			default:
				return false
			}
		})
		for _, s := range servers {
			_ = s.Close()
		}
	})
}

// echoOnce is one turn of a server that answers with what it got.
func echoOnce(t *testing.T, s *httpsession.Server) {
	if s.Status() == polled.Terminated {
		return
	}
	if _, err := s.Drive(); err != nil {
		return // the client is gone
	}
	r, status, err := s.Read()
	if err != nil || status != polled.Data {
		return
	}
	a := response(200, r.Method+" "+string(r.Content))
	for {
		rest, status, err := s.Write(a)
		if !assert.NoError(t, err) {
			return
		}
		if status == polled.Success {
			return
		}
		a = rest
		if _, err := s.Drive(); err != nil {
			return
		}
	}
}

// askNetHTTP sends requests of all kinds.
func askNetHTTP(base string) error {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for _, k := range []struct{ method, send, want string }{
		{"GET", "", "GET "}, {"HEAD", "", ""}, {"POST", "hello", "POST hello"}, {"PUT", large, "PUT " + large},
		{"DELETE", "", "DELETE "},
	} {
		for _, chunked := range []bool{false, true} {
			var body io.Reader = strings.NewReader(k.send)
			if chunked {
				body = io.MultiReader(body) // of a length that nobody knows
			}
			r, err := http.NewRequest(k.method, base+"/", body)
			if err != nil {
				return err
			}
			if len(k.send) > 0 {
				r.Header.Set("Expect", "100-continue")
			}
			answer, err := c.Do(r)
			if err != nil {
				return err
			}
			got, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != 200 || !bytes.Equal(got, []byte(k.want)) {
				return fmt.Errorf("%s: %d %.100q %v; want %.100q", k.method, answer.StatusCode, got, err, k.want)
			}
		}
	}
	return nil
}
