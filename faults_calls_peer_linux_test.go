package tandem_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPeerProcess is the other end of connections of a process that is forbidden something. It never waits for long.
//
//	address           answers "at ADDRESS", where it echoes
//	connect ADDRESS   connects, and sends and awaits an echo: "echoed", "silent", or "ended HOW"
//	again N           the same over connection N
//	drain N           answers "drains", and reads everything from now on
//	end N             reads everything, and answers how it ends: "EOF", "reset", or "silent"
func TestPeerProcess(t *testing.T) {
	if os.Getenv(serverEnv) == "" {
		t.Skip("it is for the processes that other tests start")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	var conns []net.Conn
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var n int
		command, what, _ := strings.Cut(lines.Text(), " ")
		_, _ = fmt.Sscan(what, &n)
		switch command {
		case "address":
			fmt.Println("at", l.Addr())
		case "connect":
			c, err := net.DialTimeout("tcp", what, peerPatience)
			if err == nil {
				conns = append(conns, c)
				err = pong(c)
			}
			fmt.Println(word(err))
		case "again":
			fmt.Println(word(pong(conns[n])))
		case "drain":
			_ = conns[n].SetDeadline(time.Time{})
			go func() { _, _ = io.Copy(io.Discard, conns[n]) }()
			fmt.Println("drains")
		case "end":
			_ = conns[n].SetDeadline(time.Now().Add(peerPatience))
			_, err := io.Copy(io.Discard, conns[n])
			if err == nil {
				err = io.EOF
			}
			fmt.Println(strings.TrimPrefix(word(err), "ended "))
		}
	}
}

const peerPatience = 3 * time.Second

func pong(c net.Conn) error {
	_ = c.SetDeadline(time.Now().Add(peerPatience))
	return echoed(c, "ping")
}

// word says how a connection is doing.
func word(err error) string {
	switch {
	case err == nil:
		return "echoed"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "ended reset"
	case errors.Is(err, io.EOF):
		return "ended EOF"
	}
	return "ended " + err.Error()
}

// address is where the peer echoes.
func (s *server) address() string {
	s.Helper()
	s.tell("address")
	_, at := s.answer()
	return at
}

// TestFloodProcess has peers that send for ever, and read nothing.
//
//	flood ADDRESS N    N connections; answers "flooding"
func TestFloodProcess(t *testing.T) {
	if os.Getenv(serverEnv) == "" {
		t.Skip("it is for the processes that other tests start")
	}
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var address string
		var n int
		_, err := fmt.Sscanf(lines.Text(), "flood %s %d", &address, &n)
		require.NoError(t, err)
		for range n {
			c, err := net.DialTimeout("tcp", address, peerPatience)
			require.NoError(t, err)
			require.NoError(t, c.(*net.TCPConn).SetWriteBuffer(64<<10)) // this machine has other uses for its memory
			go func() {
				for err := error(nil); err == nil; {
					_, err = c.Write(pattern[:64<<10])
				}
			}()
		}
		fmt.Println("flooding")
	}
}
