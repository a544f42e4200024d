package httpsession_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem/session/httpsession"
	"github.com/tandem-io/tandem/session/sessiontest"
)

// TestBlockingBehindBody has a layer in front of a Blocking handler replace the Body, as http.MaxBytesHandler does. The handler
// reads all that comes, or is told that it does not.
func TestBlockingBehindBody(t *testing.T) {
	h := httpsession.Blocking(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, err := io.ReadAll(r.Body)
		var tooLarge *http.MaxBytesError
		_, _ = fmt.Fprintf(w, "%s %v", got, errors.As(err, &tooLarge))
		assert.Equal(t, err != nil, tooLarge != nil, "%v", err)
	}))
	for name, o := range map[string]*httpsession.ServerOptions{"whole": nil, "in parts": {Parts: inParts}} {
		t.Run(name, func(t *testing.T) {
			handling(t, http.MaxBytesHandler(h, 10), o, func(t *testing.T, address string, _ *sessiontest.Log) {
				for content, want := range map[string]string{"hello": "hello false", "hello, hello": "hello, hel true"} {
					c := dialPlain(t, address)
					_, err := fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", len(content))
					require.NoError(t, err)
					for piece := range strings.SplitAfterSeq(content, "l") {
						_, err = io.WriteString(c, piece)
						require.NoError(t, err)
						time.Sleep(time.Millisecond)
					}
					assert.Equal(t, want, reads(t, c, bufio.NewReader(c)))
				}
			})
		})
	}
}
