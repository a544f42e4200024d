//go:build linux

package tandem_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/tandem-io/tandem"
	"github.com/tandem-io/tandem/session/handover"
)

// Example_restart is a server that replaces itself on SIGHUP, such as by a newer version of its program, and keeps all
// connections. Under systemd its unit has Type=notify, NotifyAccess=all and ExecReload=/bin/kill -HUP $MAINPID.
func Example_restart() {
	t, err := tandem.Open(nil)
	if err != nil {
		log.Fatal(err)
	}
	l, err := beginServing(t)
	if err != nil {
		log.Fatal(err) // the old process, if there is one, goes on
	}
	_ = handover.Notify(fmt.Sprintf("READY=1\nMAINPID=%d", os.Getpid()))

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM)
	for s := range signals {
		if s == syscall.SIGTERM {
			break
		}
		if err := giveWay(t, l); err == nil {
			break
		}
		log.Print(err)
		if l.Err() != nil {
			break // the successor has the listener
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_ = t.Shutdown(ctx) // of what has stayed here
}

// beginServing takes over from an old process, from systemd, or begins anew.
func beginServing(t tandem.Transport) (l tandem.Listener, err error) {
	old, err := handover.Inherited()
	switch {
	case err != nil:
		return nil, err
	case old != nil:
		return takeOver(t, old)
	}
	files, err := tandem.InheritedListeners()
	switch {
	case err != nil:
		return nil, err
	case len(files) > 0:
		defer files[0].Close()
		return t.Listen("tcp", "", restartHandler{}, &tandem.ListenOptions{From: files[0]})
	}
	return t.Listen("tcp", "127.0.0.1:7000", restartHandler{}, nil)
}

// takeOver takes everything from the old process.
func takeOver(t tandem.Transport, old *net.UnixConn) (l tandem.Listener, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	taker, err := handover.NewTaker(ctx, old, nil)
	if err != nil {
		return nil, err
	}
	defer taker.Close()
	for {
		item, err := taker.Next(ctx)
		switch {
		case err != nil && l == nil:
			return nil, err
		case err != nil && err != io.EOF:
			log.Print(err) // the old process has kept the rest
			return l, nil
		case err == io.EOF:
			return l, nil
		}
		switch item := item.(type) {
		case *handover.Listener:
			l, err = item.Listen(t, restartHandler{}, nil)
		case *handover.Conn:
			_, err = t.Adopt(item, restartHandler{}) // item.State would say how far it is
		}
		if err != nil {
			log.Print(err)
			_ = item.Close() // it is lost: nobody else has it
		}
	}
}

// giveWay starts a successor, and gives it everything.
func giveWay(t tandem.Transport, l tandem.Listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	next := exec.Command(os.Args[0], os.Args[1:]...)
	next.Stdout, next.Stderr = os.Stdout, os.Stderr
	conn, err := handover.Start(next)
	if err != nil {
		return err
	}
	g, err := handover.NewGiver(ctx, conn, nil) // waits until it is ready
	if err != nil {
		_ = next.Process.Kill()
		_ = next.Wait()
		return err
	}
	defer g.Close()
	if err := g.Listener(ctx, "main", l); err != nil {
		return err
	}
	_, err = g.Streams(ctx, t, handover.Selection{Kept: func(_ *tandem.Stream, c net.Conn, _ error) {
		_, _ = t.Adopt(c.(syscall.Conn), restartHandler{}) // it goes on here
	}})
	if err != nil {
		return err
	}
	return g.Finish(ctx)
}

// restartHandler sends back what it gets.
type restartHandler struct{ tandem.BaseHandler }

func (restartHandler) OnData(s *tandem.Stream) {
	p, _ := s.Next(-1)
	_, _ = s.Write(p)
}
