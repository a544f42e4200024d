package backend

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The error of an option is what the *net.OpError wraps, with nothing between them.
func TestListenOptionFails(t *testing.T) {
	_, err := Linux{}.Listen("tcp", "127.0.0.1:0", ListenSocket{
		Options: []SocketOption{FastOpen(maxInt)}, Clock: SystemClock{},
	})
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "listen", op.Op)
	assert.IsType(t, new(SocketOptionError), op.Err)
}
