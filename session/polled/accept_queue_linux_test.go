package polled

import (
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// TestQueueThatIsClosed has connections that open when their Listener is closed already: nobody will accept them, so
// they are reset.
func TestQueueThatIsClosed(t *testing.T) {
	tr, err := tandem.Open(&tandem.Options{Backend: tandem.Epoll, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { assert.NoError(t, tr.Close()) }()
	q := &acceptQueue{}
	l, err := tr.Listen("tcp", "127.0.0.1:0", q, nil)
	require.NoError(t, err)
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	c, err := net.Dial("tcp", l.Addr().String())
	if err == nil {
		defer c.Close()
		require.NoError(t, c.SetDeadline(time.Now().Add(5*time.Second)))
		_, err = c.Read(make([]byte, 1))
	}
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the connection lives on")
	assert.ErrorIs(t, err, syscall.ECONNRESET)
	assert.Nil(t, q.take())
}
