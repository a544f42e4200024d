package tandem

import (
	"bytes"
	"context"
	"io"
	"math/rand"
	"net"
	"testing"
	"time"
)

type echo struct{ BaseHandler }

func (echo) OnData(s *Stream) { p, _ := s.Next(-1); s.Write(p) }

func TestSmoke(t *testing.T) {
	for _, o := range []Options{{Backend: Epoll}, {Backend: Uring}, {Backend: Uring, UringRung: "coop"}, {Backend: Uring, UringRung: "plain"}, {Backend: Uring, UringRung: "oneshot"},
		{Backend: Uring, UringEntries: 4, UringCompletionEntries: 8, UringBuffers: 4, UringBufferSize: 64}} {
		t.Run(o.Backend.String()+o.UringRung, func(t *testing.T) {
			tr, err := Open(&o)
			if err != nil {
				t.Fatal(err)
			}
			l, err := tr.Listen("tcp", "127.0.0.1:0", echo{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				c, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 3<<20)
				rand.Read(b)
				go func() { c.Write(b); c.(*net.TCPConn).CloseWrite() }()
				c.SetReadDeadline(time.Now().Add(20 * time.Second))
				got, err := io.ReadAll(c)
				if err != nil || !bytes.Equal(got, b) {
					t.Fatal(len(got), err)
				}
				c.Close()
			}
			ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
			defer cancel()
			if err := tr.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", tr.Stats())
		})
	}
}
