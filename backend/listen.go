package backend

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// takenInterval is how often Listen tries an address that is taken.
const takenInterval = 5 * time.Millisecond

// Persist is for drivers: it calls listen, and again for as long as Patience says if the address is taken.
func (o *ListenSocket) Persist(listen func() (net.Listener, error)) (net.Listener, error) {
	for end := o.Clock.Now().Add(o.Patience); ; Sleep(o.Clock, takenInterval) {
		ln, err := listen()
		if !errors.Is(err, syscall.EADDRINUSE) || o.Clock.Now().After(end) || o.givenUp() {
			return ln, err
		}
	}
}

func (o *ListenSocket) givenUp() bool { return o.GivenUp != nil && o.GivenUp() }
