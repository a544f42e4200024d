package tandem_test

import (
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// lastEcho echoes, and reports when its stream has ended.
type lastEcho struct {
	echoHandler
	ended chan error
}

func (h lastEcho) OnClose(_ *tandem.Stream, err error) { h.ended <- err }

// TestInheritedListeners hands a listening socket to a child as a service manager does, and talks to the child.
func TestInheritedListeners(t *testing.T) {
	if os.Getenv("TANDEM_TEST_INHERITS") != "" {
		serveInherited(t)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	require.NoError(t, err)
	defer file.Close()
	child := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestInheritedListeners$'`, os.Args[0])
	child.Env = append(os.Environ(), "TANDEM_TEST_INHERITS=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	child.ExtraFiles = []*os.File{file} // becomes descriptor 3
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	require.NoError(t, child.Start())
	c, err := net.Dial("tcp", l.Addr().String()) // waits in the backlog until the child accepts
	require.NoError(t, err)
	_, err = io.WriteString(c, "inherited")
	require.NoError(t, err)
	got := make([]byte, 9)
	_, err = io.ReadFull(c, got)
	assert.NoError(t, err)
	assert.Equal(t, "inherited", string(got), "the child's answer")
	_ = c.Close()
	assert.NoError(t, child.Wait(), "the child")
}

func serveInherited(t *testing.T) {
	files, err := tandem.InheritedListeners()
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.Equal(t, "web", files[0].Name())
	again, err := tandem.InheritedListeners()
	assert.NoError(t, err)
	assert.Empty(t, again, "inherited again")
	tr := openOrSkip(t, &tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	h := lastEcho{ended: make(chan error, 1)}
	_, err = tr.Listen("unix", "", h, &tandem.ListenOptions{From: files[0]})
	assert.Error(t, err, "a TCP socket was taken over as a Unix one")
	_, err = tr.Listen("tcp", "", h, &tandem.ListenOptions{From: files[0]})
	require.NoError(t, err)
	_ = files[0].Close()
	assert.NoError(t, <-h.ended, "OnClose")
}

// echoHandler sends back what it gets.
type echoHandler struct{ tandem.BaseHandler }

func (echoHandler) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	if _, err := s.Write(p); err == tandem.ErrWriteBufferFull {
		_ = s.Abort()
	}
}
