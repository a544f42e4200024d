//go:build linux

package servers

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio"
	"github.com/lesismal/nbio/mempool"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
	"github.com/tandem-io/tandem/bench/workload"
)

// openNbioHTTP serves HTTP and WebSocket. Handlers run on the pollers, which costs less than the pool of goroutines that
// is the default.
func openNbioHTTP(c Config) (*Server, error) {
	addrs := []string{c.Addr}
	e := nbhttp.NewEngine(nbhttp.Config{
		Network: "tcp", Addrs: addrs, NPoller: c.loops(), ReadBufferSize: readBuffer, IOMod: nbhttp.IOModNonBlocking,
		Handler: nbioHandler(c), ServerExecutor: func(f func()) { f() }, SupportServerOnly: true,
		ReleaseWebsocketPayload: true, MaxWebsocketFramePayloadSize: workload.FrameLimit,
	})
	if err := e.Start(); err != nil {
		return nil, err
	}
	addr, err := net.ResolveTCPAddr("tcp", addrs[0]) // where the port is set by now
	if err != nil {
		return nil, err
	}
	return &Server{
		Addr:    addr,
		Details: fmt.Sprintf("%d pollers, level-triggered, handlers on the pollers", c.loops()),
		Close: func() error {
			ctx, cancel := context.WithTimeout(context.Background(), nbioCloseLimit)
			defer cancel()
			_ = e.Shutdown(ctx) // connections that do not end are no failure of a benchmark
			return nil
		},
	}, nil
}

func nbioHandler(c Config) http.Handler {
	if c.Mode != workload.ModeWSEcho {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(workload.Hello))) // without it, nbio answers in chunks
			serveHello(w, r)
		})
	}
	u := websocket.NewUpgrader()
	u.KeepaliveTime = 0 // no deadline for each message
	u.CheckOrigin = func(*http.Request) bool { return true }
	u.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, p []byte) {
		_ = c.WriteMessage(kind, p) // which closes the connection if it fails
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = u.Upgrade(w, r, nil) // it has answered
	})
}

// nbioTLS echoes over the TLS that nbio has: a copy of crypto/tls that does not block.
func nbioTLS(e *nbio.Engine) error {
	certificate, err := newCertificate()
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: certificate.Certificate, PrivateKey: certificate.PrivateKey}},
		MinVersion:   tls.VersionTLS13,
	}
	e.OnOpen(func(c *nbio.Conn) {
		c.SetSession(tls.NewConn(c, config, false, true, mempool.DefaultMemPool))
	})
	plain := sync.Pool{New: func() any { b := make([]byte, tlsBuffer); return &b }}
	e.OnData(func(c *nbio.Conn, p []byte) {
		conn := c.Session().(*tls.Conn)
		b := plain.Get().(*[]byte)
		defer plain.Put(b)
		for {
			_, n, err := conn.AppendAndRead(p, *b)
			if err != nil {
				_ = c.Close()
				return
			}
			if n == 0 {
				return
			}
			p = nil
			_, _ = conn.Write((*b)[:n]) // which closes the connection if it fails
		}
	})
	return nil
}
