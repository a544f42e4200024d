//go:build linux

package handover_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/handover"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// conns returns the two ends of a pair of sockets.
func conns(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	end := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		c, err := net.FileConn(f)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c.(*net.UnixConn)
	}
	return end(fds[0]), end(fds[1])
}

// pair is a conversation within this process.
func pair(t *testing.T, giving, taking *handover.Options) (*handover.Giver, *handover.Taker) {
	t.Helper()
	a, b := conns(t)
	type result struct {
		g   *handover.Giver
		err error
	}
	began := make(chan result, 1)
	go func() {
		g, err := handover.NewGiver(within(t), a, giving)
		began <- result{g, err}
	}()
	taker, err := handover.NewTaker(within(t), b, taking)
	require.NoError(t, err)
	r := <-began
	require.NoError(t, r.err)
	t.Cleanup(func() { _ = r.g.Close(); _ = taker.Close() })
	return r.g, taker
}

// backends are the Transports that there are here.
func backends(t *testing.T, test func(t *testing.T, open func() tandem.Transport)) {
	for _, b := range []tandem.Backend{tandem.Epoll, tandem.Uring, tandem.Portable} {
		t.Run(b.String(), func(t *testing.T) {
			test(t, func() tandem.Transport {
				tr, err := tandem.Open(&tandem.Options{Backend: b, Loops: 2, Logger: slog.New(slog.DiscardHandler)})
				if errors.Is(err, errors.ErrUnsupported) && os.Getenv("TANDEM_REQUIRE_URING") == "" {
					t.Skip(err)
				}
				require.NoError(t, err)
				t.Cleanup(func() { assert.NoError(t, tr.Close()) })
				return tr
			})
		})
	}
}

// lines answers each whole line with its name and the line. What is no whole line stays unread.
type lines struct {
	tandem.BaseHandler
	name   string
	opened chan *tandem.Stream
}

func newLines(name string) *lines { return &lines{name: name, opened: make(chan *tandem.Stream, 100)} }

func (h *lines) OnOpen(s *tandem.Stream) { h.opened <- s }

func (h *lines) OnData(s *tandem.Stream) {
	for {
		p, _ := s.Peek(-1)
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return
		}
		_, _ = s.Write(append([]byte(h.name+" "), p[:i+1]...))
		_, _ = s.Discard(i + 1)
	}
}

func (h *lines) stream(t *testing.T) *tandem.Stream {
	t.Helper()
	select {
	case s := <-h.opened:
		return s
	case <-time.After(patience):
		require.Fail(t, "no stream has opened")
		return nil
	}
}

func dial(t *testing.T, to net.Addr) net.Conn {
	t.Helper()
	c, err := net.Dial(to.Network(), to.String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func write(t *testing.T, c io.Writer, s string) {
	t.Helper()
	_, err := io.WriteString(c, s)
	require.NoError(t, err)
}

func expect(t *testing.T, c io.Reader, want string) {
	t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	require.NoError(t, err, "after %q", got[:n])
	require.Equal(t, want, string(got))
}

// next waits for an item of one kind.
func next[T handover.Item](t *testing.T, taker *handover.Taker) T {
	t.Helper()
	item, err := taker.Next(within(t))
	require.NoError(t, err)
	require.IsType(t, *new(T), item)
	return item.(T)
}

// TestHandOver gives a listener, a connection with half a line unread, and state, and finds all of it on another Transport.
func TestHandOver(t *testing.T) {
	backends(t, func(t *testing.T, open func() tandem.Transport) {
		for _, network := range []string{"tcp", "unix"} {
			t.Run(network, func(t *testing.T) {
				old, successor := open(), open()
				h, h2 := newLines("old"), newLines("new")
				address := "127.0.0.1:0"
				if network == "unix" {
					address = filepath.Join(t.TempDir(), "s")
				}
				l, err := old.Listen(network, address, h, nil)
				require.NoError(t, err)
				c := dial(t, l.Addr())
				write(t, c, "one\ntw")
				expect(t, c, "old one\n")
				s := h.stream(t)

				g, taker := pair(t, nil, nil)
				all := make(chan error, 1)
				go func() { all <- giveAll(t, g, old, l, s) }()

				from := next[*handover.Listener](t, taker)
				assert.Equal(t, "web", from.Name)
				assert.Equal(t, network, from.Network)
				assert.Equal(t, network == "unix", from.Unlink)
				l2, err := from.Listen(successor, h2, nil)
				require.NoError(t, err)
				assert.Empty(t, from.Files())
				one := next[*handover.Conn](t, taker)
				assert.Equal(t, "c", one.Name)
				assert.Equal(t, "state of c", string(one.State))
				_, err = successor.Adopt(one, h2)
				require.NoError(t, err)
				assert.Nil(t, one.File())
				state := next[*handover.State](t, taker)
				assert.Equal(t, "config", state.Name)
				assert.Equal(t, "all of it", string(state.Data))
				_, err = taker.Next(within(t))
				require.Equal(t, io.EOF, err)
				require.NoError(t, <-all)
				assert.ErrorIs(t, l.Err(), net.ErrClosed)

				write(t, c, "o\n")
				expect(t, c, "new two\n")
				d := dial(t, l2.Addr())
				write(t, d, "three\n")
				expect(t, d, "new three\n")
				require.NoError(t, l2.Close())
				if network == "unix" {
					assert.NoFileExists(t, address, "the last one removes the file")
				}
			})
		}
	})
}

func giveAll(t *testing.T, g *handover.Giver, old tandem.Transport, l tandem.Listener, s *tandem.Stream) error {
	ctx := within(t)
	if err := g.Listener(ctx, "web", l); err != nil {
		return err
	}
	given, err := g.Streams(ctx, old, handover.Selection{
		Select:   func(one *tandem.Stream) bool { return one == s },
		Describe: func(*tandem.Stream) (string, []byte) { return "c", []byte("state of c") },
		Kept:     func(_ *tandem.Stream, _ net.Conn, err error) { assert.NoError(t, err, "a stream was kept") },
	})
	if err != nil {
		return err
	}
	assert.Equal(t, 1, given, "streams given")
	if err := g.State(ctx, "config", []byte("all of it")); err != nil {
		return err
	}
	return g.Finish(ctx)
}

var _ syscall.Conn = (*handover.Conn)(nil)
