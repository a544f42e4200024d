package tandem_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
)

// copied is what transfers carry: more than fits into buffers of sockets and pipes.
var copied = bytes.Repeat([]byte("0123456789abcdefg"), 60_000)

// copySources are what ReadFrom is given: each returns a Reader of copied.
var copySources = []struct {
	name string
	make func(t *testing.T, tr tandem.Transport) io.Reader
}{
	{"memory", func(*testing.T, tandem.Transport) io.Reader { return bytes.NewReader(copied) }},
	{"file", func(t *testing.T, _ tandem.Transport) io.Reader { return copyFile(t, copied) }},
	{"file from an offset", func(t *testing.T, _ tandem.Transport) io.Reader {
		f := copyFile(t, append([]byte("skipped"), copied...))
		_, err := f.Seek(7, io.SeekStart)
		require.NoError(t, err)
		return f
	}},
	{"pipe", func(t *testing.T, _ tandem.Transport) io.Reader {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		t.Cleanup(func() { _ = r.Close() })
		feed(t, w)
		return r
	}},
	{"net tcp", func(t *testing.T, _ tandem.Transport) io.Reader { return fedNet(t, "tcp") }},
	{"net unix", func(t *testing.T, _ tandem.Transport) io.Reader { return fedNet(t, "unix") }},
	{"conn tcp", func(t *testing.T, tr tandem.Transport) io.Reader { return fedConn(t, tr, "tcp") }},
	{"conn unix", func(t *testing.T, tr tandem.Transport) io.Reader { return fedConn(t, tr, "unix") }},
	{"embedded file", func(t *testing.T, _ tandem.Transport) io.Reader {
		return &upper{copyFile(t, bytes.ToUpper(copied))}
	}},
}

// upper has a Read of its own, and all else of a file.
type upper struct{ *os.File }

func (u *upper) Read(p []byte) (int, error) {
	n, err := u.File.Read(p)
	copy(p, bytes.ToLower(p[:n]))
	return n, err
}

// WriteTo hides that of the file, as a type with a Read of its own has to.
func (u *upper) WriteTo(w io.Writer) (int64, error) { return io.Copy(w, struct{ io.Reader }{u}) }

func copyFile(t *testing.T, p []byte) *os.File {
	name := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(name, p, 0o600))
	f, err := os.Open(name)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func feed(t *testing.T, w io.WriteCloser) {
	go func() {
		_, err := w.Write(copied)
		assert.NoError(t, err)
		assert.NoError(t, w.Close())
	}()
}

func fedNet(t *testing.T, network string) io.Reader {
	c, peer := netPair(t, network)
	feed(t, peer)
	return c
}

func fedConn(t *testing.T, tr tandem.Transport, network string) io.Reader {
	a, b := connPair(t, tr, network)
	feed(t, a)
	return b
}

// TestN01_ReadFrom copies from all kinds of sources, by io.Copy and by ReadFrom, up to the end and up to a limit.
func TestN01_ReadFrom(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		for _, src := range copySources {
			for _, limit := range []int64{-1, 0, 500_000, int64(len(copied)) + 1} {
				a, b := connPair(t, tr, network)
				all := make(chan []byte, 1)
				go func() {
					p, err := io.ReadAll(b)
					assert.NoError(t, err)
					all <- p
				}()
				r, want := src.make(t, tr), copied
				before := tr.Stats().Conns.BytesOut
				n, err := copyWithLimit(a, r, limit)
				require.NoError(t, err, src.name)
				if limit >= 0 && limit < int64(len(copied)) {
					want = copied[:limit]
				}
				what := fmt.Sprintf("%s, limit %d", src.name, limit)
				require.EqualValues(t, len(want), n, what)
				require.GreaterOrEqual(t, tr.Stats().Conns.BytesOut-before, uint64(n), what)
				require.NoError(t, a.Close())
				require.True(t, bytes.Equal(want, <-all), what)
				if f, ok := r.(*os.File); ok && src.name == "file" {
					at, err := f.Seek(0, io.SeekCurrent)
					require.NoError(t, err)
					require.EqualValues(t, n, at, "the offset of the file")
				}
				if c, ok := r.(io.Closer); ok {
					go func() { _, _ = io.Copy(io.Discard, r); _ = c.Close() }() // so that who feeds it ends
				}
			}
		}
	})
}

func copyWithLimit(dst io.Writer, src io.Reader, limit int64) (int64, error) {
	if limit < 0 {
		return io.Copy(dst, src)
	}
	l := &io.LimitedReader{R: src, N: limit}
	n, err := io.Copy(dst, l)
	if err == nil && l.N != limit-n {
		err = fmt.Errorf("%d are left of %d after %d", l.N, limit, n)
	}
	return n, err
}

// TestN01_WriteTo copies to all kinds of destinations.
func TestN01_WriteTo(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		for name, destination := range map[string]func() (io.WriteCloser, io.Reader){
			"net tcp":   func() (io.WriteCloser, io.Reader) { c, p := netPair(t, "tcp"); return c, p },
			"net unix":  func() (io.WriteCloser, io.Reader) { c, p := netPair(t, "unix"); return c, p },
			"conn tcp":  func() (io.WriteCloser, io.Reader) { a, b := connPair(t, tr, "tcp"); return a, b },
			"conn unix": func() (io.WriteCloser, io.Reader) { a, b := connPair(t, tr, "unix"); return a, b },
			"pipe":      func() (io.WriteCloser, io.Reader) { r, w, _ := os.Pipe(); return w, r },
		} {
			w, r := destination()
			src := fedConn(t, tr, network)
			all := make(chan []byte, 1)
			go func() { p, _ := io.ReadAll(r); all <- p }()
			n, err := io.Copy(w, src)
			require.NoError(t, err, name)
			require.EqualValues(t, len(copied), n, name)
			require.NoError(t, w.Close())
			require.True(t, bytes.Equal(copied, <-all), name)
		}
	})
}

// TestN01_TransferFails has transfers fail in the middle, by the deadline, at either end, and by Close.
func TestN01_TransferFails(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		for name, end := range map[string]func(from, to net.Conn){
			"deadline of the destination": func(_, to net.Conn) { _ = to.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)) },
			"destination closed":          func(_, to net.Conn) { time.AfterFunc(5*time.Millisecond, func() { _ = to.Close() }) },
		} {
			for _, file := range []bool{false, true} {
				to, sink := connPair(t, tr, network)
				a, from := connPair(t, tr, network)
				var r io.Reader = from
				if file {
					r = copyFile(t, bytes.Repeat(copied, 5))
				} else {
					go func() {
						for {
							if _, err := a.Write(copied); err != nil {
								return
							}
						}
					}()
				}
				go func() {
					_, _ = sink.Read(make([]byte, 1)) // the transfer has begun
					end(from, to)
				}()
				n, err := io.Copy(to, r)
				require.Positive(t, n, name)
				if strings.Contains(name, "deadline") {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded, name)
				} else {
					require.ErrorIs(t, err, net.ErrClosed, name)
				}
			}
		}
		to, _ := connPair(t, tr, network)
		_, from := connPair(t, tr, network)
		require.NoError(t, from.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		n, err := io.Copy(to, from)
		require.Zero(t, n)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

// TestN01_WriteBesideTransfer has a Write go out while a transfer waits for its source, and not between the bytes of a
// piece.
func TestN01_WriteBesideTransfer(t *testing.T) {
	onNetworks(t, func(t *testing.T, tr tandem.Transport, network string) {
		to, peer := connPair(t, tr, network)
		a, from := connPair(t, tr, network)
		over := make(chan error, 1)
		go func() { _, err := io.Copy(to, from); over <- err }()
		time.Sleep(5 * time.Millisecond)
		require.NoError(t, to.SetWriteDeadline(time.Now().Add(connPatience)))
		_, err := to.Write([]byte("beside"))
		require.NoError(t, err)
		p := make([]byte, 6)
		_, err = io.ReadFull(peer, p)
		require.NoError(t, err)
		require.Equal(t, "beside", string(p))
		require.NoError(t, a.Close())
		require.NoError(t, awaitError(t, "the end of the transfer", over))

		if tr.Info().Backend == tandem.Portable {
			return // which makes Writes of a file
		}
		f := copyFile(t, bytes.Repeat([]byte{1}, 8<<20))
		go func() { _, err := io.Copy(to, f); over <- errors.Join(err, to.Close()) }()
		first := make([]byte, 1)
		_, err = io.ReadFull(peer, first)
		require.NoError(t, err)
		go func() { _, _ = to.Write(bytes.Repeat([]byte{2}, 1<<20)) }()
		all, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.NoError(t, awaitError(t, "the end of the transfer", over))
		require.Equal(t, 8<<20-1, bytes.IndexByte(append(all, 2), 2), "a Write went between the bytes of a sendfile")
	})
}
