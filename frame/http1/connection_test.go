package http1

import (
	"bufio"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tandem-io/tandem/frame"
)

// got is a message that has to be there.
func got[M any](t *testing.T, d frame.Decoder[M], p string) (M, string) {
	t.Helper()
	m, n, need, err := d.Decode([]byte(p))
	if err != nil || need > 0 {
		t.Fatalf("%q: %d bytes are missing, %v", p, need, err)
	}
	return m, p[n:]
}

// nothing expects that there is no message, and returns what was not consumed.
func nothing[M any](t *testing.T, d frame.Decoder[M], p string) string {
	t.Helper()
	_, n, need, err := d.Decode([]byte(p))
	if err != nil || need == 0 {
		t.Fatalf("%q: need %d, %v", p, need, err)
	}
	return p[n:]
}

func TestPendingRequest(t *testing.T) {
	d := requests()
	nothing(t, d, "PUT /x HTTP/1.1\r\nHost: a\r\n")
	if d.Pending() != nil {
		t.Error("half a head is pending")
	}
	const head = "PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n"
	rest := nothing(t, d, head)
	m := d.Pending()
	if m == nil || m.URL.Path != "/x" || m.ContentLength != 5 || !m.ExpectsContinue() || rest != "" {
		t.Fatalf("%+v, and %q is left", m, rest)
	}
	if rest = nothing(t, d, "hell"); rest != "hell" {
		t.Errorf("%q is left: content is lent, not kept", rest)
	}
	whole, _ := got(t, d, "hello")
	if whole != m || string(m.Content) != "hello" || d.Pending() != nil {
		t.Errorf("%+v, pending %v", whole, d.Pending())
	}
}

func TestExpectsContinue(t *testing.T) {
	for fields, want := range map[string]bool{
		"HTTP/1.1\r\nHost: a\r\nExpect: 100-continue": true,
		"HTTP/1.1\r\nHost: a\r\nexpect: 100-CONTINUE": true,
		"HTTP/1.1\r\nHost: a\r\nExpect: 200-ok":       false,
		"HTTP/1.1\r\nHost: a":                         false,
		"HTTP/1.0\r\nExpect: 100-continue":            false,
	} {
		if m, _ := got(t, requests(), "GET / "+fields+"\r\n\r\n"); m.ExpectsContinue() != want {
			t.Errorf("%q: %v", fields, !want)
		}
	}
}

func TestPendingResponse(t *testing.T) {
	d := responses("GET")
	nothing(t, d, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na")
	m := d.Pending()
	if m == nil || m.StatusCode != 200 || d.Outstanding() != 1 {
		t.Fatalf("%+v, %d are outstanding", m, d.Outstanding())
	}
	if whole, _ := got(t, d, "\r\n0\r\n\r\n"); whole != m || string(m.Content) != "a" || d.Pending() != nil || d.Outstanding() != 0 {
		t.Errorf("%+v, pending %v, %d are outstanding", whole, d.Pending(), d.Outstanding())
	}
}

func TestKeepAlive(t *testing.T) {
	for fields, want := range map[string]bool{
		"HTTP/1.1\r\nHost: a":                                      true,
		"HTTP/1.1\r\nHost: a\r\nConnection: close":                 false,
		"HTTP/1.1\r\nHost: a\r\nConnection: a,b\t, CLOSE":          false,
		"HTTP/1.1\r\nHost: a\r\nConnection: a\r\nconnection:close": false,
		"HTTP/1.1\r\nHost: a\r\nConnection: closed":                true,
		"HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close":     false,
		"HTTP/1.0":                                  false,
		"HTTP/1.0\r\nConnection: keep-alive":        true,
		"HTTP/1.0\r\nConnection: Keep-Alive, close": false,
	} {
		d := requests()
		m, _ := got(t, d, "GET / "+fields+"\r\n\r\n")
		if m.KeepAlive() != want {
			t.Errorf("request %q: %v", fields, !want)
		}
		answer := &Response{&http.Response{StatusCode: 200, Request: m.Request}, nil}
		bytes, err := Responses{}.Append(nil, answer)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := got(t, responses("GET"), string(bytes))
		if answer.KeepAlive() != want || r.KeepAlive() != want || r.Close == want {
			t.Errorf("the answer to %q: %q: %v, %v", fields, bytes, answer.KeepAlive(), r.KeepAlive())
		}
	}
	for raw, want := range map[string]bool{
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":                           true,
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n":      false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                           false,
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n": true,
		"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n":                   false,
		"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n":                     true,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                               false,
	} {
		m, _ := got(t, responses("GET"), raw)
		if m.KeepAlive() != want || m.Close && (m.Interim() || m.Switched()) {
			t.Errorf("%q: %v, %v", raw, m.KeepAlive(), m.Close)
		}
	}
	if m, _, _ := responsesEnd(t, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\nabc"); m.KeepAlive() || !m.Close {
		t.Error("content until close, and the connection goes on")
	}
}

func responsesEnd(t *testing.T, raw string) (*Response, *ResponseDecoder, string) {
	t.Helper()
	d := responses("GET")
	rest := nothing(t, d, raw)
	m, ok, err := d.End([]byte(rest))
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	return m, d, rest
}

// TestAfterTheEnd ends a connection that was ended by the end of a message.
func TestAfterTheEnd(t *testing.T) {
	_, d, _ := responsesEnd(t, "HTTP/1.1 200 OK\r\n\r\nabc")
	if m, ok, err := d.End(nil); m != nil || ok || err != nil {
		t.Error(m, ok, err)
	}
	if rest := nothing(t, d, "junk"); rest != "" {
		t.Errorf("%q is left", rest)
	}
	server := requests()
	got(t, server, "GET / HTTP/1.0\r\n\r\n")
	if rest := nothing(t, server, "GET / HTTP/1.0\r\n\r\n"); rest != "" {
		t.Errorf("%q is left", rest)
	}
	if m, ok, err := server.End(nil); m != nil || ok || err != nil {
		t.Error(m, ok, err)
	}
}

func TestSwitched(t *testing.T) {
	for methods, raw := range map[string]string{
		"GET":     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
		"CONNECT": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
	} {
		d := responses(methods + " GET")
		m, rest := got(t, d, raw+"HTTP/1.1 200 OK\r\n")
		if !m.Switched() || m.Interim() || m.KeepAlive() || m.Close || len(m.Content) > 0 {
			t.Errorf("%s: %+v", methods, m)
		}
		if left := nothing(t, d, rest); left != "HTTP/1.1 200 OK\r\n" {
			t.Errorf("%s: %q is left", methods, left)
		}
		if _, ok, err := d.End([]byte(rest)); ok || err != nil {
			t.Error(ok, err)
		}
	}
	if m, _ := got(t, responses("CONNECT"), "HTTP/1.1 407 Proxy\r\nContent-Length: 0\r\n\r\n"); m.Switched() || !m.KeepAlive() {
		t.Error("a CONNECT that was refused has switched")
	}
}

func TestConnectIsHeld(t *testing.T) {
	const connect, more = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	d := requests()
	m, rest := got(t, d, connect+more)
	if m.Host != "a:1" || m.Method != http.MethodConnect || nothing(t, d, rest) != more {
		t.Fatalf("%+v, %q", m, rest)
	}
	d.Resume()
	if m, _ = got(t, d, rest); m.Method != http.MethodGet {
		t.Errorf("%+v", m)
	}
	d.Resume() // nothing is held
	_, rest = got(t, d, connect+more)
	d.Switch()
	d.Resume()
	if left := nothing(t, d, rest); left != more {
		t.Errorf("%q is left of a tunnel", left)
	}
	if _, ok, err := d.End([]byte(rest)); ok || err != nil {
		t.Error(ok, err)
	}
	d.Reset()
	got(t, d, more)

	d = requests()
	got(t, d, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	d.Switch()
	if left := nothing(t, d, "\x00\x01"); left != "\x00\x01" {
		t.Errorf("%q is left behind 101", left)
	}
}

func TestExpect(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
	d := Responses{}.NewResponseDecoder()
	methods, answered := []string{"GET", "HEAD", "POST", "HEAD", "HEAD"}, 0
	for i := range 1000 { // as a client with a pipeline of up to some requests
		d.Expect(methods[i%len(methods)])
		if i%3 == 2 {
			continue
		}
		for range 1 + i%3 {
			if d.Outstanding() == 0 {
				break
			}
			method := methods[answered%len(methods)]
			interim, _ := got(t, d, "HTTP/1.1 102 Processing\r\n\r\n")
			raw := ok
			if method != "HEAD" {
				raw += "ab"
			}
			m, rest := got(t, d, raw)
			if m.Request.Method != method || interim.Request.Method != method || rest != "" {
				t.Fatalf("answer %d is to %s, want %s; %q is left", answered, m.Request.Method, method, rest)
			}
			answered++
		}
		if d.Outstanding() != i+1-answered {
			t.Fatalf("%d are outstanding, want %d", d.Outstanding(), i+1-answered)
		}
	}
	if answered < 600 || cap(d.asked) > 1024 {
		t.Errorf("%d answers, room for %d methods", answered, cap(d.asked))
	}
}

// TestExpectForEver keeps one request outstanding: the queue does not grow.
func TestExpectForEver(t *testing.T) {
	d := responses("HEAD")
	for range 10_000 {
		d.Expect("HEAD")
		got(t, d, "HTTP/1.1 200 OK\r\n\r\n")
	}
	if cap(d.asked) > 16 || d.Outstanding() != 1 {
		t.Errorf("room for %d, %d are outstanding", cap(d.asked), d.Outstanding())
	}
}

func TestReset(t *testing.T) {
	d := responses("GET HEAD")
	nothing(t, d, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
	d.Reset()
	if d.Outstanding() != 0 || d.Pending() != nil {
		t.Errorf("%d are outstanding, pending %v", d.Outstanding(), d.Pending())
	}
	d.Expect("GET")
	if m, _ := got(t, d, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"); string(m.Content) != "x" {
		t.Errorf("%q", m.Content)
	}
	if _, _, _, err := d.Decode([]byte("x")); err == nil {
		t.Fatal("an answer to nothing")
	}
	d.Reset()
	d.Expect("GET")
	got(t, d, "HTTP/1.1 204 No Content\r\n\r\n")

	server := Requests{Limits: Limits{BodyBytes: 1}}.NewRequestDecoder()
	const long = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
	for range 2 {
		if _, _, _, err := server.Decode([]byte(long)); err == nil || server.Status() != 413 {
			t.Fatal(err, server.Status())
		}
		server.Reset()
		if server.Status() != 0 || server.Pending() != nil {
			t.Error("there is something left of before")
		}
	}
}

// TestContentIsLent looks whose memory Content is.
func TestContentIsLent(t *testing.T) {
	for name, c := range map[string]struct {
		raw  string
		lent bool
	}{
		"length":     {requestStreams["length"], true},
		"one chunk":  {requestStreams["one chunk"], true},
		"two chunks": {requestStreams["chunks"], false},
	} {
		p := []byte(c.raw)
		m, _, _, err := requests().Decode(p)
		if err != nil || len(m.Content) == 0 {
			t.Fatal(err)
		}
		first := m.Content[0]
		at := slices.Index(p, first)
		for i := range p {
			p[i] = '!'
		}
		if lent := m.Content[0] != first; lent != c.lent || at < 0 {
			t.Errorf("%s: lent %v", name, lent)
		}
		if strings.Contains(m.Method+m.Host+m.RequestURI+showHeader(m.Header), "!") {
			t.Errorf("%s: the head is a part of p: %s", name, showRequest(m))
		}
		longer := append(m.Content, "?"...)
		if &longer[0] == &m.Content[0] || strings.Contains(string(p), "?") {
			t.Errorf("%s: what is appended to Content is written over the caller's bytes", name)
		}
	}
}

// TestChunksAreGiven takes two messages from one decoder: the second leaves the first alone.
func TestChunksAreGiven(t *testing.T) {
	d := requests()
	body := "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
	first, _ := got(t, d, chunkedHead+body)
	second, _ := got(t, d, chunkedHead+strings.ToUpper(body))
	if string(first.Content) != "abc" || string(second.Content) != "ABC" {
		t.Errorf("%q, %q", first.Content, second.Content)
	}
}

// TestNothingStays has a second message on a connection that knows nothing of the first.
func TestNothingStays(t *testing.T) {
	long := "1;" + strings.Repeat("x", 1000) + "\r\n?\r\n"
	d := requests()
	first, _ := got(t, d, "\r\n"+chunkedHead+strings.Repeat(long, 16)+"0\r\nX: y\r\n\r\n")
	second, _ := got(t, d, "\r\n"+chunkedHead+strings.Repeat(long, 16)+"0\r\n\r\n")
	third, _ := got(t, d, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if len(first.Trailer) != 1 || second.Trailer != nil || third.Trailer != nil || len(second.Content) != 16 || third.Content != nil {
		t.Errorf("%+v\n%+v\n%+v", first, second, third)
	}
}

// TestFailureKeepsNothing of the content that came before it.
func TestFailureKeepsNothing(t *testing.T) {
	d := requests()
	nothing(t, d, chunkedHead+"5\r\nhel")
	if len(d.body.kept) != 3 {
		t.Fatalf("%q is kept", d.body.kept)
	}
	if _, _, _, err := d.Decode([]byte("lo, and more")); err == nil || d.body.len() > 0 || cap(d.body.kept) > 0 {
		t.Errorf("%v, %q is kept", err, d.body.kept)
	}
}

// TestDecodeAllocates counts what a small request costs beyond net/http's own reading of its head.
func TestDecodeAllocates(t *testing.T) {
	p := []byte(requestStreams["length"])
	codec := requests()
	ours := fewestAllocs(func() {
		codec.Reset()
		if _, _, _, err := codec.Decode(p); err != nil {
			t.Fatal(err)
		}
	})
	theirs := fewestAllocs(func() {
		if f := readHead(p); f != nil {
			t.Fatal(f)
		}
	})
	if ours > theirs+1 {
		t.Errorf("%v allocations, net/http has %v", ours, theirs)
	}
}

// fewestAllocs is what f allocates when the pools have what it wants. Under the race detector they lose things at random.
func fewestAllocs(f func()) float64 {
	fewest := testing.AllocsPerRun(1, f)
	for range 200 {
		fewest = min(fewest, testing.AllocsPerRun(1, f))
	}
	return fewest
}

func readHead(p []byte) *fault {
	return readWith(p, func(r *bufio.Reader) error {
		_, err := http.ReadRequest(r)
		return err
	})
}
