package httpsession_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// attend is a Server, and the client's end of its connection.
func attend(t *testing.T) (*httpsession.Server, *sessiontest.End) {
	a, b := sessiontest.Pair(1 << 20)
	s := httpsession.NewServer(a, nil)
	t.Cleanup(func() { _ = s.Close() })
	return s, b
}

func TestServerPipeline(t *testing.T) {
	s, client := attend(t)
	say(t, client, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\n\r\nPOST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	for _, want := range []string{"GET /1 ", "HEAD /2 ", "POST /3 abc"} {
		r, err := next(t, s, s)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %s %s", r.Method, r.URL, r.Content); got != want {
			t.Errorf("%s; want %s", got, want)
		}
	}
	for i := range 3 {
		put(t, s, response(200, fmt.Sprint("answer ", i+1)))
	}
	if _, _, err := s.Write(response(200, "")); err == nil {
		t.Error("a response that nobody asked for was taken")
	}
	if _, err := s.Drive(); err != nil {
		t.Fatal(err)
	}
	got := heard(t, client)
	if strings.Count(got, "HTTP/1.1 200 OK\r\n") != 3 || strings.Count(got, "Content-Length: 8\r\n") != 3 ||
		strings.Contains(got, "answer 2") || !strings.HasSuffix(got, "answer 3") {
		t.Errorf("the client got %q", got)
	}
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
		if _, err := next(t, s, s); err != nil {
			t.Fatal(err)
		}
		var wrong *frame.Error
		if _, err := next(t, s, s); !errors.As(err, &wrong) {
			t.Fatalf("%.50q: %v", comes, err)
		}
		if got := heard(t, client); got != "" {
			t.Errorf("%.50q: refused before the answer that is due: %q", comes, got)
		}
		put(t, s, response(200, "good"))
		until(t, func() bool {
			if _, err := s.Drive(); err != nil {
				t.Fatal(err)
			}
			return s.Status() == polled.Terminated
		})
		got := heard(t, client)
		good, refusal, _ := strings.Cut(got, "good")
		if !strings.HasPrefix(good, "HTTP/1.1 200 ") || !strings.HasPrefix(refusal, "HTTP/1.1 "+status+" ") ||
			!strings.Contains(refusal, "Connection: close\r\n") {
			t.Errorf("%.50q: the client got %q", comes, got)
		}
		if _, _, err := client.Read(); err != io.EOF {
			t.Errorf("%.50q: the connection goes on: %v", comes, err)
		}
	}
}

func TestServerContinue(t *testing.T) {
	s, client := attend(t)
	say(t, client, "GET / HTTP/1.1\r\nHost: a\r\n\r\nPUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
	if _, err := next(t, s, s); err != nil {
		t.Fatal(err)
	}
	turn := func() string {
		if _, status, err := s.Read(); err != nil || status == polled.Data {
			t.Fatal(status, err)
		}
		if _, err := s.Drive(); err != nil {
			t.Fatal(err)
		}
		return heard(t, client)
	}
	if got := turn(); got != "" {
		t.Errorf("continued before the answer that is due: %q", got)
	}
	put(t, s, response(200, ""))
	const goOn = "HTTP/1.1 100 Continue\r\n\r\n"
	if got := turn() + turn() + turn(); !strings.HasPrefix(got, "HTTP/1.1 200 OK\r\n") || strings.Count(got, goOn) != 1 {
		t.Errorf("the client got %q", got)
	}
	say(t, client, "co")
	if got := turn() + turn(); got != "" {
		t.Errorf("within the content the client got %q", got)
	}
	say(t, client, "nt")
	r, err := next(t, s, s)
	if err != nil || string(r.Content) != "cont" {
		t.Fatal(r, err)
	}
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
			if _, err := next(t, s, s); err != nil {
				t.Fatal(err)
			}
			if k.closes {
				half.finished = true
				if _, err := next(t, s, s); err != io.EOF {
					t.Fatal(err)
				}
			}
			put(t, s, k.answer)
			until(t, func() bool {
				if _, err := s.Drive(); err != nil {
					t.Fatal(err)
				}
				return s.Status() == polled.Terminated
			})
			if got := heard(t, b); !strings.HasSuffix(got, "\r\n\r\nlast") {
				t.Errorf("the client got %q", got)
			}
			if _, _, err := s.Read(); err != io.EOF {
				t.Errorf("Read at the end: %v", err)
			}
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
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		answers := make(chan error, 1)
		go func() { answers <- askNetHTTP("http://" + l.Addr().String()) }()
		var servers []*httpsession.Server
		until(t, func() bool {
			if a, ok, err := l.Accept(); err != nil {
				t.Fatal(err)
			} else if ok {
				servers = append(servers, httpsession.NewServer(a, nil))
			}
			for _, s := range servers {
				echoOnce(t, s)
			}
			select {
			case err := <-answers:
				if err != nil {
					t.Error(err)
				}
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
		if err != nil {
			t.Error(err)
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
