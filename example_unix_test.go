//go:build linux

package tandem_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tandem-io/tandem"
)

// fileOpener opens files for programs of its own user.
type fileOpener struct {
	tandem.BaseHandler
	path string
}

func (fileOpener) OnOpen(s *tandem.Stream) {
	who, err := s.PeerCredentials()
	if err != nil || who.UID != os.Geteuid() {
		_ = s.Abort()
	}
}

func (o fileOpener) OnData(s *tandem.Stream) {
	_, _ = s.Discard(-1)
	f, err := os.Open(o.path)
	if err != nil {
		_ = s.AbortWith(err)
		return
	}
	defer f.Close() // the stream has a duplicate
	_ = s.WriteFiles([]byte("here it is"), f)
}

// fileAsker takes the file that comes.
type fileAsker struct {
	tandem.BaseHandler
	files chan *os.File
}

func (a fileAsker) OnData(s *tandem.Stream) {
	_, _ = s.Discard(-1)
	for _, f := range s.TakeFiles() {
		a.files <- f
	}
}

// A server on a Unix socket, at which only its own user can connect, opens a file and passes it on.
func ExampleStream_files() {
	dir, err := os.MkdirTemp("", "tandem")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "secret")
	if err := os.WriteFile(path, []byte("what the file says"), 0o600); err != nil {
		panic(err)
	}
	t, err := tandem.Open(&tandem.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		panic(err)
	}
	defer t.Close()
	l, err := t.Listen("unix", filepath.Join(dir, "socket"), fileOpener{path: path}, &tandem.ListenOptions{UnixMode: 0o600})
	if err != nil {
		panic(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := fileAsker{files: make(chan *os.File, 1)}
	options := tandem.DialOptions{StreamOptions: tandem.StreamOptions{ReceiveFiles: 1}}
	s, err := t.Dial(ctx, "unix", l.Addr().String(), client, &options)
	if err != nil {
		panic(err)
	}
	_, _ = s.Write([]byte("please"))
	f := <-client.files
	defer f.Close()
	text, _ := io.ReadAll(f)
	fmt.Println(string(text))
	// Output: what the file says
}
