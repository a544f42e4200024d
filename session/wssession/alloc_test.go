package wssession_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/wssession"
)

// TestAnEchoAllocatesNothing receives a message and answers it.
func TestAnEchoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring} {
		t.Run(b.String(), func(t *testing.T) {
			tr := openOn(t, &tandem.Options{Backend: b, CallerDriven: true})
			var conn *wssession.Conn
			address := listen(t, tr, &hooks{open: func(c *wssession.Conn) { conn = c }, message: echo{}.OnMessage}, nil)
			c, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, asking(""))
			require.NoError(t, err)
			for tr.Stats().BytesOut == 0 {
				_, _ = tr.Poll(1e6)
			}
			head := make([]byte, tr.Stats().BytesOut)
			_, err = io.ReadFull(c, head)
			require.NoError(t, err)
			message := whole(text, strings.Repeat("x", 1000))
			answer := make([]byte, 1004)
			sent := func() uint64 { return conn.Stream().Stats().BytesSent }
			require.Zero(t, testing.AllocsPerRun(1000, func() {
				before := sent()
				_, _ = c.Write(message)
				for sent() == before {
					_, _ = tr.Poll(1e6)
				}
				_, _ = io.ReadFull(c, answer)
			}))
		})
	}
}
