package tandem_test

import (
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/tandem-io/tandem"
)

// lastEcho echoes, and tells when its stream has ended.
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
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	child := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run='^TestInheritedListeners$'`, os.Args[0])
	child.Env = append(os.Environ(), "TANDEM_TEST_INHERITS=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	child.ExtraFiles = []*os.File{file} // becomes descriptor 3
	child.Stdout, child.Stderr = os.Stderr, os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String()) // waits in the backlog until the child accepts
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, "inherited"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 9)
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "inherited" {
		t.Errorf("the child answered %q, %v", got, err)
	}
	_ = c.Close()
	if err := child.Wait(); err != nil {
		t.Errorf("the child: %v", err)
	}
}

func serveInherited(t *testing.T) {
	files, err := tandem.InheritedListeners()
	if err != nil || len(files) != 1 || files[0].Name() != "web" {
		t.Fatalf("inherited %v: %v", files, err)
	}
	if again, err := tandem.InheritedListeners(); len(again) != 0 || err != nil {
		t.Errorf("inherited again: %v, %v", again, err)
	}
	tr := openOrSkip(t, &tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	h := lastEcho{ended: make(chan error, 1)}
	if _, err := tr.Listen("unix", "", h, &tandem.ListenOptions{From: files[0]}); err == nil {
		t.Error("a TCP socket was taken over as a Unix one")
	}
	if _, err := tr.Listen("tcp", "", h, &tandem.ListenOptions{From: files[0]}); err != nil {
		t.Fatal(err)
	}
	_ = files[0].Close()
	if err := <-h.ended; err != nil {
		t.Errorf("OnClose(%v)", err)
	}
}
