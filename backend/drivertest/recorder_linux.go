package drivertest

import "github.com/tandem-io/tandem/backend"

// Recorder is the owner of a socket. It records what the driver reports.
type Recorder struct {
	backend.NoEvents
	Socket backend.Socket

	OnBytes    func([]byte) // called by Received; nil: the bytes are appended to Got
	OnSent     func()       // called by Sent, at last
	OnAccepted func()       // called by Accepted, at last
	Spent      bool         // the stream has spent its share of the turn

	Forward backend.Forwarder // if Socket.Forwards is set

	Got       []byte
	Ends      int   // calls of ReceiveEnded
	EndErr    error // of the last one
	Sends     []int // the counts of Sent
	SendErr   error // the last error of Sent
	Connects  []error
	Conns     []int // descriptors from Accepted, -1 with an error
	AcceptErr error // the last error of Accepted
	From      backend.Address
	HangUps   int // calls of HungUp
	Gone      bool
}

// FD returns the socket's descriptor.
func (o *Recorder) FD() int { return o.Socket.FD() }

// Forwarder implements backend.ForwardOwner.
func (o *Recorder) Forwarder() backend.Forwarder { return o.Forward }

// Received implements backend.Events.
func (o *Recorder) Received(p []byte) {
	if o.OnBytes != nil {
		o.OnBytes(p)
		return
	}
	o.Got = append(o.Got, p...)
}

// HasTurnBudget implements backend.Events.
func (o *Recorder) HasTurnBudget() bool { return !o.Spent }

// ReceiveEnded implements backend.Events.
func (o *Recorder) ReceiveEnded(err error) { o.Ends, o.EndErr = o.Ends+1, err }

// Sent implements backend.Events.
func (o *Recorder) Sent(n int, err error) {
	o.Sends, o.SendErr = append(o.Sends, n), err
	if o.OnSent != nil {
		o.OnSent()
	}
}

// Connected implements backend.Events.
func (o *Recorder) Connected(err error) { o.Connects = append(o.Connects, err) }

// Accepted implements backend.Events.
func (o *Recorder) Accepted(d backend.Descriptor, from backend.Address, err error) {
	o.Conns, o.From, o.AcceptErr = append(o.Conns, d.FD()), from, err
	if o.OnAccepted != nil {
		o.OnAccepted()
	}
}

// HungUp implements backend.Events.
func (o *Recorder) HungUp() { o.HangUps++ }

// Released implements backend.Events.
func (o *Recorder) Released() { o.Gone = true }
