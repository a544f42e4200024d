package httpsession_test

import (
	"bufio"
	"expvar"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// site is what the handlers of these tests serve.
func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		content, err := io.ReadAll(r.Body)
		if err != nil || r.RemoteAddr == "" {
			http.Error(w, fmt.Sprint(err, r.RemoteAddr), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %s", r.Method, content)
	})
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/close", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	mux.HandleFunc("/wrong", func(w http.ResponseWriter, _ *http.Request) { w.Header()["X"] = []string{"a\r\nb: c"} })
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { panic("no") })
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot) // too late
		_, _ = io.WriteString(w, "{}")
	})
	mux.Handle("/debug/vars", expvar.Handler())
	return mux
}

// serving runs the test against a Handler on each Transport that has loops of its own.
func serving(t *testing.T, test func(t *testing.T, address string)) {
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		if strings.HasSuffix(t.Name(), "-driven") {
			stop, done := make(chan struct{}), make(chan struct{})
			addresses := make(chan string)
			go func() {
				defer close(done)
				l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site(), nil), nil)
				if err != nil {
					t.Error(err)
					close(addresses)
					return
				}
				addresses <- l.Addr().String()
				for {
					select {
					case <-stop:
						_ = tr.Close()
						return
					default:
						if _, err := tr.Poll(1e6); err != nil {
							t.Error(err)
							return
						}
					}
				}
			}()
			defer func() { close(stop); <-done }()
			if address := <-addresses; address != "" {
				test(t, address)
			}
			return
		}
		l, err := tr.Listen("tcp", "127.0.0.1:0", httpsession.Handler(site(), nil), nil)
		if err != nil {
			t.Fatal(err)
		}
		test(t, l.Addr().String())
	})
}

func TestHandlerAgainstNetHTTP(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		if err := askNetHTTP("http://" + address); err != nil {
			t.Error(err)
		}
		for path, want := range map[string]string{
			"/nothing":    "204 []",
			"/wrong":      "500 [text/plain; charset=utf-8] Internal Server Error\n",
			"/json":       "202 [application/json] {}",
			"/":           "200 [text/plain; charset=utf-8] GET ",
			"/debug/vars": "200 [application/json; charset=utf-8] {",
		} {
			r, err := http.Get("http://" + address + path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			content, err := io.ReadAll(r.Body)
			_ = r.Body.Close()
			got := strings.TrimSuffix(fmt.Sprintf("%d %v %s", r.StatusCode, r.Header["Content-Type"], content), " ")
			if err != nil || !strings.HasPrefix(got, strings.TrimSuffix(want, " ")) || r.StatusCode == 200 && r.Header.Get("Date") == "" {
				t.Errorf("%s: %q %v; want %q", path, got, err, want)
			}
			http.DefaultClient.CloseIdleConnections()
		}
		if _, err := http.Get("http://" + address + "/panic"); err == nil {
			t.Error("/panic was answered")
		}
	})
}

// exchange sends text on a connection of its own, and returns all that comes until its end.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	return string(got)
}

func TestHandlerOnTheWire(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		got := exchange(t, address, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"+
			"HEAD /3 HTTP/1.1\r\nHost: a\r\n\r\nGET /close HTTP/1.1\r\nHost: a\r\n\r\nGET /never HTTP/1.1\r\nHost: a\r\n\r\n")
		if strings.Count(got, "HTTP/1.1 200 OK\r\n") != 4 || !strings.Contains(got, "POST abc") || strings.Count(got, "HEAD ") != 0 {
			t.Errorf("a pipeline got %q", got)
		}
		got = exchange(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost : a\r\n\r\n")
		if !strings.Contains(got, "HTTP/1.1 200 ") || !strings.Contains(got, "HTTP/1.1 400 ") || !strings.Contains(got, "Connection: close\r\n") {
			t.Errorf("a bad request got %q", got)
		}
		if got = exchange(t, address, "GET / HTTP/1.0\r\n\r\n"); !strings.Contains(got, " 200 OK\r\n") || !strings.HasSuffix(got, "GET ") {
			t.Errorf("an old client got %q", got)
		}
	})
}

func TestHandlerContinue(t *testing.T) {
	serving(t, func(t *testing.T, address string) {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
		r := bufio.NewReader(c)
		if line, err := r.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = io.WriteString(c, "cont")
		rest, err := io.ReadAll(r)
		if err != nil || strings.Count(string(rest), "100 Continue") != 0 || !strings.HasSuffix(string(rest), "PUT cont") {
			t.Errorf("%q %v", rest, err)
		}
	})
}
