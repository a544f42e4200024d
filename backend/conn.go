package backend

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// Conn is a connection of goroutines: a net.Conn with what those of package net have besides. Its calls wait for the
// kernel and for no loop. Any goroutine may make any of them at any time; bytes of two Writes do not mix. A transfer, by
// ReadFrom or WriteTo, is like several Writes: another may go in between.
type Conn interface {
	net.Conn
	syscall.Conn
	io.ReaderFrom
	io.WriterTo

	// CloseRead and CloseWrite shut one direction down.
	CloseRead() error
	CloseWrite() error

	// SetLinger is that of net.TCPConn: with 0 the next Close resets a TCP connection.
	SetLinger(seconds int) error

	// Finish is Close that first lets the Write end that is at work, or the piece of a transfer. Another Close does not
	// wait.
	Finish() error

	// File returns a duplicate of the socket, which the caller closes.
	File() (*os.File, error)
}

// ConnOwner is who is told what happens to a Conn. What it is told with must not block.
type ConnOwner struct {
	Network string         // as errors name it, such as tcp4
	In, Out *atomic.Uint64 // bytes received and sent are added to these

	// Waits is called when a call finds nothing to receive, or with sending no room, and is about to wait; and again,
	// with waits false, before a call that receives takes something, and when one that sends is over. If it returns true
	// the Conn ends: a call that receives takes nothing more and returns net.ErrClosed, one that sends goes on, and the
	// Conn finishes when that call is over. nil: nobody asks.
	Waits func(sending, waits bool) (ends bool)

	// Closed is called once, when Close has closed the descriptor. nil: nobody asks.
	Closed func()
}

// ConnWait is what the owner of a Conn was told about the calls of one direction, for drivers: see ConnOwner.Waits.
type ConnWait struct {
	Sending bool // the direction
	Ends    bool // the owner wants the Conn to end
	waits   bool
}

// Begin tells the owner that a call is about to wait, unless it knows. A call that receives is over if the error is not
// nil.
func (w *ConnWait) Begin(o *ConnOwner) error {
	if w.waits {
		return nil
	}
	return w.tell(o, true)
}

// End tells the owner, if it knows that a call waits, that it does not any longer: one that receives before it takes
// anything, one that sends when it is over. A call that receives is over if the error is not nil.
func (w *ConnWait) End(o *ConnOwner) error {
	if !w.waits {
		return nil
	}
	return w.tell(o, false)
}

func (w *ConnWait) tell(o *ConnOwner, waits bool) error {
	w.waits = waits
	if o.Waits == nil || !o.Waits(w.Sending, waits) {
		return nil
	}
	w.Ends = true
	if w.Sending {
		return nil
	}
	return net.ErrClosed
}
