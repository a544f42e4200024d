package httpsession_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/frame"
	"github.com/tandem-io/tandem/frame/http1"
	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/polled"
)

// TestServerParts reads a request and writes a response in parts, with a client that waits for 100 Continue.
func TestServerParts(t *testing.T) {
	s, client := attendWith(t, &httpsession.ServerOptions{Parts: inParts})
	say(t, client, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nTrailer: X-After\r\n\r\n")
	r, err := next(t, s, s)
	require.NoError(t, err)
	require.Equal(t, http1.First, r.Part)
	assert.Empty(t, heard(t, client), "before the content is wanted")
	_, _, err = s.Read()
	require.NoError(t, err)
	_, err = s.Drive()
	require.NoError(t, err)
	assert.Equal(t, "HTTP/1.1 100 Continue\r\n\r\n", heard(t, client))
	say(t, client, "3\r\nabc\r\n")
	r, err = next(t, s, s)
	require.NoError(t, err)
	assert.Equal(t, "middle abc", fmt.Sprintf("%v %s", r.Part, r.Content))
	a := response(200, "")
	a.Part, a.ContentLength, a.Trailer = http1.First, -1, http.Header{"X-Sum": nil}
	put(t, s, a)
	a.Part, a.Content = http1.Middle, []byte("so far")
	put(t, s, a)
	_, err = s.Drive()
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(heard(t, client), "\r\n\r\n6\r\nso far\r\n"))
	say(t, client, "0\r\nX-After: y\r\n\r\n")
	r, err = next(t, s, s)
	require.NoError(t, err)
	assert.Equal(t, "last y", fmt.Sprintf("%v %s", r.Part, r.Trailer.Get("X-After")))
	a.Part, a.Content, a.Trailer = http1.Last, nil, http.Header{"X-Sum": {"42"}}
	put(t, s, a)
	assert.Zero(t, s.Outstanding())
	_, err = s.Drive()
	require.NoError(t, err)
	assert.Equal(t, "0\r\nX-Sum: 42\r\n\r\n", heard(t, client))
}

// TestServerDropsContent answers before the content has come: little is dropped, and behind much the connection ends.
func TestServerDropsContent(t *testing.T) {
	for _, much := range []bool{false, true} {
		s, client := attendWith(t, &httpsession.ServerOptions{Parts: inParts})
		say(t, client, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
		_, err := next(t, s, s)
		require.NoError(t, err)
		put(t, s, response(403, "no"))
		if much {
			say(t, client, "80000\r\n"+strings.Repeat("x", 0x80000))
			_, err = next(t, s, s)
			assert.Equal(t, io.EOF, err)
			until(t, func() bool { _, err := s.Drive(); require.NoError(t, err); return s.Status() == polled.Terminated })
			continue
		}
		say(t, client, "3\r\nabc\r\n0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n")
		r, err := next(t, s, s)
		require.NoError(t, err)
		assert.Equal(t, "/next", r.RequestURI)
		put(t, s, response(200, "next"))
		_, err = s.Drive()
		require.NoError(t, err)
		in := bufio.NewReader(strings.NewReader(heard(t, client)))
		for _, want := range []string{"403 no", "200 next"} {
			got, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			content, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			assert.Equal(t, want, fmt.Sprintf("%d %s", got.StatusCode, content))
		}
	}
}

// TestServerRefusesWithin has content that turns out to be wrong: there is one response, whoever gives it.
func TestServerRefusesWithin(t *testing.T) {
	for name, answers := range map[string]func(s *httpsession.Server){
		"no answer": func(*httpsession.Server) {},
		"begun": func(s *httpsession.Server) {
			a := response(200, "")
			a.Part, a.ContentLength = http1.First, -1
			put(t, s, a)
			_, _ = s.Drive()
			a.Part = http1.Last
			defer put(t, s, a)
			_, err := next(t, s, s)
			assert.ErrorIs(t, err, frame.ErrMalformed)
		},
		"answered": func(s *httpsession.Server) { put(t, s, response(200, "")) },
	} {
		t.Run(name, func(t *testing.T) {
			s, client := attendWith(t, &httpsession.ServerOptions{Parts: inParts})
			say(t, client, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			_, err := next(t, s, s)
			require.NoError(t, err)
			say(t, client, "3\r\nabcx")
			r, err := next(t, s, s)
			if err == nil && r != nil {
				require.Equal(t, "abc", string(r.Content))
			}
			answers(s)
			until(t, func() bool {
				_, _, _ = s.Read()
				_, err := s.Drive()
				require.NoError(t, err)
				return s.Status() == polled.Terminated
			})
			want := "HTTP/1.1 400 "
			if name != "no answer" {
				want = "HTTP/1.1 200 "
			}
			got := heard(t, client)
			assert.Contains(t, got, want)
			assert.Equal(t, 1, strings.Count(got, "HTTP/1.1 "), "%q", got)
		})
	}
}
