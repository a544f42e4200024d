package httpsession_test

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/backend/simulated"
	"github.com/tandem-io/tandem/session"
	"github.com/tandem-io/tandem/session/httpsession"
)

// rawSite and plainSite answer alike, one as a RawHandler, the other as a Handler.
func rawSite(x *httpsession.RawExchange) {
	_ = x.Response.Add("Content-Type", "text/plain")
	switch string(x.Request.Path()) {
	case "/echo":
		_, _ = x.Response.Write(x.Request.Content)
		_ = x.Response.Add("X-Host", string(x.Request.Host()))
		_ = x.Response.Add("X-Query", string(x.Request.Query()))
	case "/large":
		x.Response.SetContent([]byte(large))
	case "/nothing":
		x.Response.Status = http.StatusNoContent
	case "/teapot":
		x.Response.Status = http.StatusTeapot
		x.Response.SetContent([]byte("short"))
		_, _ = x.Response.WriteString(" and stout")
	case "/close":
		x.Response.Close = true
	case "/wrong":
		_ = x.Response.Add("X", "a\r\nb: c")
	case "/framing":
		_ = x.Response.Add("transfer-encoding", "chunked")
	case "/early":
		x.Response.Status = http.StatusEarlyHints
	case "/panic":
		panic("no")
	case "/abort":
		panic(http.ErrAbortHandler)
	}
}

func plainSite(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	switch r.URL.Path {
	case "/echo":
		w.Header().Set("X-Host", r.Host)
		w.Header().Set("X-Query", r.URL.RawQuery)
		_, _ = io.Copy(w, r.Body)
	case "/large":
		_, _ = io.WriteString(w, large)
	case "/nothing":
		w.WriteHeader(http.StatusNoContent)
	case "/teapot":
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	case "/close":
		w.Header().Set("Connection", "close")
	case "/wrong", "/framing", "/early":
		w.Header()["X"] = []string{"a\r\nb: c"}
	case "/panic":
		panic("no")
	case "/abort":
		panic(http.ErrAbortHandler)
	}
}

// rawStreams are what clients send.
var rawStreams = map[string]string{
	"get":       "GET /echo?a=b%zz HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
	"content":   "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	"chunks":    "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\ndefgh\r\n0\r\nX: y\r\n\r\n",
	"head":      "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n",
	"large":     "GET /large HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
	"no more":   "GET /close HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
	"old":       "GET /echo HTTP/1.0\r\n\r\nGET /echo HTTP/1.0\r\n\r\n",
	"old stays": "GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /teapot HTTP/1.0\r\n\r\n",
	"pipeline": strings.Repeat("GET /echo HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc", 20) +
		"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"asterisk":                        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
	"continue":                        "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
	"expects more":                    "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 5\r\n\r\n",
	"expects with a space of Unicode": "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\u00a0\r\nContent-Length: 5\r\n\r\n",
	"expects with spaces":             "PUT /echo HTTP/1.1\r\nHost: a\r\nExpect:\t 100-Continue \r\nContent-Length: 5\r\n\r\nhello",
	"expects, no content":             "GET /echo HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
	"no host":                         "GET /echo HTTP/1.1\r\n\r\n",
	"no version":                      "GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /echo HTTP/2.0\r\nHost: a\r\n\r\n",
	"coding":                          "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	"both":                            "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
	"escape":                          "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	"too many fields":                 "GET /echo HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", 300) + "\r\n",
	"wrong":                           "GET /wrong HTTP/1.1\r\nHost: a\r\n\r\n",
	"framing":                         "GET /framing HTTP/1.1\r\nHost: a\r\n\r\n",
	"early":                           "GET /early HTTP/1.1\r\nHost: a\r\n\r\n",
	"head of what is wrong":           "HEAD /wrong HTTP/1.1\r\nHost: a\r\n\r\n",
	"panic":                           "GET /echo HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\n",
	"abort":                           "GET /abort HTTP/1.1\r\nHost: a\r\n\r\n",
	"nothing":                         "",
	"part of a head":                  "GET /echo HTTP/1.1\r\nHo",
	"part of content":                 "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc",
	"trailing empty line":             "\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
	"absolute":                        "GET http://a/echo HTTP/1.1\r\nHost: a\r\n\r\n",
}

// answered is what a server sends to a client that sends raw, and how the connection ends.
func answered(t *testing.T, h session.Handler, raw string, seed uint64) string {
	k := simulated.New(simulated.Config{Seed: seed, Faults: simulated.Rough()})
	tr, err := tandem.Simulated(k, nil)
	require.NoError(t, err)
	defer tr.Close()
	l, err := tr.Listen("tcp", "localhost:0", h, nil)
	require.NoError(t, err)
	p, err := k.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	p.Send([]byte(raw))
	if strings.Contains(raw, "Expect: 100-continue\r\nContent") {
		require.NoError(t, k.Run(func() bool { return strings.HasSuffix(string(p.Received()), " 100 Continue\r\n\r\n") }, tr))
		p.Send([]byte("hello"))
	}
	p.Finish()
	require.NoError(t, k.Run(func() bool { return p.EOF() || p.Err() != nil }, tr), "%q: %q", raw, p.Received())
	return sortedHeads(string(p.Received()))
}

var dateOf = regexp.MustCompile(`Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT`)

// sortedHeads has the fields of each response in order: the two handlers need not write them in the same one.
func sortedHeads(all string) string {
	all = dateOf.ReplaceAllString(all, "Date: now")
	parts := strings.SplitAfter(all, "\r\n\r\n")
	for i, part := range parts {
		if at := strings.Index(part, "HTTP/1.1 "); at >= 0 {
			lines := strings.Split(strings.TrimSuffix(part[at:], "\r\n\r\n"), "\r\n")
			slices.Sort(lines[1:])
			parts[i] = part[:at] + strings.Join(lines, "\r\n") + "\r\n\r\n"
		}
	}
	return strings.Join(parts, "")
}

// TestRawHandlerAsHandler compares what the two handlers send, where everything is cut and delayed.
func TestRawHandlerAsHandler(t *testing.T) {
	for name, raw := range rawStreams {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(3) {
				want := answered(t, httpsession.Handler(http.HandlerFunc(plainSite), nil), raw, seed)
				got := answered(t, httpsession.RawHandler(rawSite, nil), raw, seed)
				if name == "panic" || name == "abort" || len(raw) < 70 && strings.HasPrefix(name, "part") {
					require.Equal(t, strings.Contains(want, "200 OK"), strings.Contains(got, "200 OK"), "%q, seed %d", raw, seed)
					continue // a reset may overtake what was sent
				}
				if name == "asterisk" { // a Handler sends none there
					got = strings.ReplaceAll(got, "Date: now\r\n", "")
				}
				require.Equal(t, want, got, "%q, seed %d", raw, seed)
			}
		})
	}
}
