//go:build !linux

package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"

	"github.com/tandem-io/tandem/session"
)

// Only Linux is supported. Elsewhere everything but Notify, Inherited and the Close methods returns this.
var errSystem = fmt.Errorf("handover: %w", errors.ErrUnsupported)

// Giver is the old process's end of a conversation. On this system there is none.
type Giver struct{}

// NewGiver returns an error that is errors.ErrUnsupported, and closes c.
func NewGiver(_ context.Context, c *net.UnixConn, _ *Options) (*Giver, error) {
	return nil, refuse(c)
}

func refuse(c *net.UnixConn) error {
	if c != nil {
		_ = c.Close()
	}
	return errSystem
}

// Err returns an error that is errors.ErrUnsupported.
func (*Giver) Err() error { return errSystem }

// Listener returns an error that is errors.ErrUnsupported.
func (*Giver) Listener(context.Context, string, session.Listener) error { return errSystem }

// Conn returns an error that is errors.ErrUnsupported.
func (*Giver) Conn(context.Context, string, net.Conn, []byte) error { return errSystem }

// State returns an error that is errors.ErrUnsupported.
func (*Giver) State(context.Context, string, []byte) error { return errSystem }

// Stream returns an error that is errors.ErrUnsupported.
func (*Giver) Stream(context.Context, *session.Stream, func() (string, []byte)) (net.Conn, error) {
	return nil, errSystem
}

// Streams returns an error that is errors.ErrUnsupported.
func (*Giver) Streams(context.Context, Transport, Selection) (int, error) { return 0, errSystem }

// Finish returns an error that is errors.ErrUnsupported.
func (*Giver) Finish(context.Context) error { return errSystem }

// Close does nothing.
func (*Giver) Close() error { return nil }

// Taker is the new process's end of a conversation. On this system there is none.
type Taker struct{}

// NewTaker returns an error that is errors.ErrUnsupported, and closes c.
func NewTaker(_ context.Context, c *net.UnixConn, _ *Options) (*Taker, error) { return nil, refuse(c) }

// Next returns an error that is errors.ErrUnsupported.
func (*Taker) Next(context.Context) (Item, error) { return nil, errSystem }

// Close does nothing.
func (*Taker) Close() error { return nil }

// Start returns an error that is errors.ErrUnsupported.
func Start(*exec.Cmd) (*net.UnixConn, error) { return nil, errSystem }

// Inherited returns nil.
func Inherited() (*net.UnixConn, error) { return nil, nil }

// Activate returns an error that is errors.ErrUnsupported.
func Activate(*exec.Cmd, []*os.File, ...string) error { return errSystem }

// Notify does nothing.
func Notify(string) error { return nil }
