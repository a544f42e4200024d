package httpsession_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/httpsession"
)

// TestHandlerServesNoPipelineOfAClientThatIsGone: a client that has reset its connection gets no answer, so that what it
// has sent ahead is no longer served. Each call takes longer than a turn's share, so each has a turn of its own, and the
// end is known before the second or the third.
func TestHandlerServesNoPipelineOfAClientThatIsGone(t *testing.T) {
	const requests = 200
	onEachTransport(t, func(t *testing.T, tr tandem.Transport) {
		var client net.Conn
		var calls atomic.Int64
		dialled := make(chan struct{})
		h := httpsession.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-dialled
			if calls.Add(1) == 1 {
				_ = client.(*net.TCPConn).SetLinger(0)
				_ = client.Close()
			}
			time.Sleep(5 * time.Millisecond)
			_, _ = io.WriteString(w, "answer")
		}), nil)
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		client, err = net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		_, err = io.WriteString(client, strings.Repeat("GET / HTTP/1.1\r\nHost: a\r\n\r\n", requests))
		require.NoError(t, err)
		close(dialled)
		until(t, func() bool {
			if strings.HasSuffix(t.Name(), "-driven") {
				_, err := tr.Poll(time.Millisecond)
				require.NoError(t, err)
			}
			s := tr.Stats()
			return s.Opened == 1 && s.Closed == 1
		})
		assert.Less(t, calls.Load(), int64(requests/2), "requests that were served")
	})
}
