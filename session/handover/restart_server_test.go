//go:build linux

package handover_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/handover"
)

// The server of TestRestarts, which is this test's binary. It says what it does in lines to descriptor 3:
// "ready GENERATION PID ADDRESS", or "failed WHY".

const (
	envGeneration = "TANDEM_TEST_GENERATION"
	envBackend    = "TANDEM_TEST_BACKEND"
	envPath       = "TANDEM_TEST_PATH" // of the Unix socket
)

func TestMain(m *testing.M) {
	if os.Getenv(envActivated) != "" {
		os.Exit(runActivated())
	}
	if os.Getenv(envGeneration) != "" {
		os.Exit(runServer())
	}
	os.Exit(m.Run())
}

type server struct {
	generation int
	status     *os.File
	tr         tandem.Transport
	listeners  map[string]tandem.Listener
}

func runServer() int {
	generation, _ := strconv.Atoi(os.Getenv(envGeneration))
	s := &server{generation: generation, status: os.NewFile(3, "status"), listeners: map[string]tandem.Listener{}}
	syscall.CloseOnExec(3)
	if err := s.run(); err != nil {
		fmt.Fprintf(s.status, "failed generation %d: %v\n", s.generation, err)
		return 1
	}
	return 0
}

func (s *server) run() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)
	var o tandem.Options
	if err := o.Backend.UnmarshalText([]byte(os.Getenv(envBackend))); err != nil {
		return err
	}
	o.Loops, o.Logger = 2, slog.New(slog.DiscardHandler)
	var err error
	if s.tr, err = tandem.Open(&o); err != nil {
		return err
	}
	if err := s.begin(); err != nil {
		return err
	}
	fmt.Fprintf(s.status, "ready %d %d %s\n", s.generation, os.Getpid(), s.listeners["tcp"].Addr())
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	if <-signals == syscall.SIGHUP {
		if err := s.restart(ctx); err != nil {
			return err
		}
	}
	return s.tr.Shutdown(ctx)
}

// begin listens, or takes over from the generation before.
func (s *server) begin() error {
	conn, err := handover.Inherited()
	if err != nil {
		return err
	}
	if conn != nil {
		return s.takeOver(conn)
	}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": os.Getenv(envPath)} {
		l, err := s.tr.Listen(network, address, numbered(s.generation), nil)
		if err != nil {
			return err
		}
		s.listeners[network] = l
	}
	return nil
}

func (s *server) takeOver(conn *net.UnixConn) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	taker, err := handover.NewTaker(ctx, conn, nil)
	if err != nil {
		return err
	}
	defer taker.Close()
	for {
		item, err := taker.Next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch item := item.(type) {
		case *handover.Listener:
			if s.listeners[item.Name], err = item.Listen(s.tr, numbered(s.generation), nil); err != nil {
				return err
			}
		case *handover.Conn:
			if _, err := s.tr.Adopt(item, numbered(s.generation)); err != nil {
				return err
			}
		default:
			return fmt.Errorf("an unexpected %T", item)
		}
	}
}

// restart starts the next generation and gives it everything.
func (s *server) restart(ctx context.Context) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", envGeneration, s.generation+1))
	cmd.ExtraFiles = []*os.File{s.status}
	conn, err := handover.Start(cmd)
	if err != nil {
		return err
	}
	g, err := handover.NewGiver(ctx, conn, nil)
	if err != nil {
		return err
	}
	defer g.Close()
	for name, l := range s.listeners {
		if err := g.Listener(ctx, name, l); err != nil {
			return err
		}
	}
	if _, err := g.Streams(ctx, s.tr, handover.Selection{Kept: func(_ *tandem.Stream, c net.Conn, err error) {
		fmt.Fprintf(s.status, "failed generation %d: the connection of %v was kept: %v\n", s.generation, c.RemoteAddr(), err)
	}}); err != nil {
		return err
	}
	return g.Finish(ctx)
}

// numbered answers each whole line with its generation and the line. What is no whole line stays unread.
func numbered(generation int) tandem.Handler { return answers{generation: strconv.Itoa(generation)} }

type answers struct {
	tandem.BaseHandler
	generation string
}

func (h answers) OnData(s *tandem.Stream) {
	for {
		p, _ := s.Peek(-1)
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return
		}
		if _, err := s.Write(append([]byte(h.generation+" "), p[:i+1]...)); errors.Is(err, tandem.ErrWriteBufferFull) {
			_ = s.AbortWith(err)
			return
		}
		_, _ = s.Discard(i + 1)
	}
}
