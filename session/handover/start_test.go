//go:build linux

package handover_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/handover"
)

const envActivated = "TANDEM_TEST_ACTIVATED"

// runActivated prints what a process that was started by Activate has inherited, and its arguments.
func runActivated() int {
	files, err := tandem.InheritedListeners()
	var names []string
	for _, f := range files {
		l, lerr := net.FileListener(f)
		err = errors.Join(err, lerr)
		if lerr == nil {
			names = append(names, f.Name()+"="+l.Addr().String())
		}
	}
	fmt.Println(strings.Join(names, " "), strings.Join(os.Args[1:], " "), err)
	return 0
}

// TestActivate starts a program by systemd's protocol.
func TestActivate(t *testing.T) {
	var files []*os.File
	var want []string
	for _, name := range []string{"web", "metrics"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		require.NoError(t, err)
		defer f.Close()
		files = append(files, f)
		want = append(want, name+"="+l.Addr().String())
	}
	cmd := exec.Command("/proc/self/exe", "an argument", "$HOME; `id`")
	cmd.Path, cmd.Args[0] = os.Args[0], os.Args[0]
	cmd.Env = append(os.Environ(), envActivated+"=1")
	require.NoError(t, handover.Activate(cmd, files, "web", "metrics"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, strings.Join(want, " ")+" an argument $HOME; `id` <nil>\n", string(out))

	for name, activate := range map[string]func() error{
		"a colon":       func() error { return handover.Activate(exec.Command("/bin/true"), files[:1], "a:b") },
		"too few names": func() error { return handover.Activate(exec.Command("/bin/true"), files, "a") },
		"other files":   func() error { return handover.Activate(&exec.Cmd{ExtraFiles: files}, files) },
		"no program":    func() error { return handover.Activate(exec.Command("no-such-program"), files) },
	} {
		assert.Error(t, activate(), name)
	}
}

// TestInherited has variables that are not for this process.
func TestInherited(t *testing.T) {
	const variable = "TANDEM_HANDOVER"
	for value, wrong := range map[string]bool{"": false, "3:1": false, "99999:12": false, "nonsense": true, "0:1": true, "4": true} {
		t.Setenv(variable, value)
		c, err := handover.Inherited()
		assert.Nil(t, c, value)
		assert.Equal(t, wrong, err != nil, "%q: %v", value, err)
		_, is := os.LookupEnv(variable)
		assert.False(t, is, "the variable is left")
	}
	c, err := handover.Start(exec.Command("/no such program"))
	assert.Nil(t, c)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// TestNotify plays systemd.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	require.NoError(t, handover.Notify("READY=1\nMAINPID=7"))
	got := make([]byte, 100)
	require.NoError(t, l.SetReadDeadline(time.Now().Add(patience)))
	n, err := l.Read(got)
	require.NoError(t, err)
	assert.Equal(t, "READY=1\nMAINPID=7", string(got[:n]))
	t.Setenv("NOTIFY_SOCKET", filepath.Join(t.TempDir(), "nobody"))
	assert.Error(t, handover.Notify("READY=1"))
	t.Setenv("NOTIFY_SOCKET", "")
	assert.NoError(t, handover.Notify("READY=1"))
}

// TestStreamsThatStay gives the streams of a Transport to a process that takes nothing: all go on, by Kept and Adopt.
func TestStreamsThatStay(t *testing.T) {
	backends(t, func(t *testing.T, open func() tandem.Transport) {
		tr := open()
		h := newLines("old")
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		const n = 10
		var peers []net.Conn
		for range n {
			c := dial(t, l.Addr())
			write(t, c, "half ")
			peers = append(peers, c)
			h.stream(t)
		}
		g, taker := pair(t, nil, nil)
		_ = taker.Close() // it has ended
		again := newLines("again")
		given, err := g.Streams(within(t), tr, handover.Selection{Kept: func(_ *tandem.Stream, c net.Conn, err error) {
			assert.Error(t, err)
			_, err = tr.Adopt(c.(syscall.Conn), again)
			assert.NoError(t, err)
		}})
		assert.Error(t, err)
		assert.Zero(t, given)
		for _, c := range peers {
			write(t, c, "whole\n")
			line := make([]byte, 100)
			k, err := c.Read(line)
			require.NoError(t, err)
			assert.Contains(t, []string{"old half whole\n", "again half whole\n"}, string(line[:k]))
		}
	})
}

// TestTLSStays has a stream whose keys cannot go: it is not detached, and left out where all streams go.
func TestTLSStays(t *testing.T) {
	tr, err := tandem.Open(&tandem.Options{Backend: tandem.Epoll, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer tr.Close()
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	h := newLines("old")
	l, err := tr.Listen("tcp", "127.0.0.1:0", h, &tandem.ListenOptions{TLS: &tls.Config{Certificates: certified.TLS.Certificates}})
	require.NoError(t, err)
	c := tls.Client(dial(t, l.Addr()), &tls.Config{InsecureSkipVerify: true})
	write(t, c, "one\n")
	expect(t, c, "old one\n")
	s := h.stream(t)
	g, _ := pair(t, nil, nil)
	kept, err := g.Stream(within(t), s, nil)
	assert.Nil(t, kept)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	given, err := g.Streams(within(t), tr, handover.Selection{Kept: func(*tandem.Stream, net.Conn, error) {
		assert.Fail(t, "a stream with TLS was detached")
	}})
	assert.NoError(t, err)
	assert.Zero(t, given)
	detached, err := s.Detach()
	require.NoError(t, err)
	assert.ErrorIs(t, g.Conn(within(t), "c", detached, nil), errors.ErrUnsupported)
	_, err = g.Streams(within(t), tr, handover.Selection{})
	assert.Error(t, err, "without Kept")
	write(t, c, "two\n")
	expect(t, detached, "two\n")
}

// TestRelaysStay gives all streams of a Transport of which two are joined: neither is worth anything without the other, and
// so both stay, and go on.
func TestRelaysStay(t *testing.T) {
	backends(t, func(t *testing.T, open func() tandem.Transport) {
		tr := open()
		h := newLines("old")
		l, err := tr.Listen("tcp", "127.0.0.1:0", h, nil)
		require.NoError(t, err)
		pa := dial(t, l.Addr())
		a := h.stream(t)
		pb := dial(t, l.Addr())
		b := h.stream(t)
		require.NoError(t, tandem.Relay(a, b, nil))
		write(t, pa, "there")
		expect(t, pb, "there")
		g, _ := pair(t, nil, nil)
		given, err := g.Streams(within(t), tr, handover.Selection{Kept: func(*tandem.Stream, net.Conn, error) {
			assert.Fail(t, "a stream of a relay was detached")
		}})
		assert.NoError(t, err)
		assert.Zero(t, given)
		_, err = b.Detach()
		assert.ErrorIs(t, err, syscall.EBUSY)
		write(t, pb, "and back")
		expect(t, pa, "and back")
	})
}
