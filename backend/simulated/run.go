package simulated

import (
	"fmt"
	"time"
)

// Poller is a Transport that its caller drives.
type Poller interface {
	Poll(timeout time.Duration) (events int, err error)
}

const (
	shortNap = 100 * time.Microsecond
	longNap  = 100 * time.Millisecond
	patience = time.Hour
)

// Run polls the Transports, one after another, until cond holds. It returns an error if a Poll fails, and if cond does
// not hold after an hour of the kernel's time. Where there are several Transports a timer may be up to 100 ms late,
// because one of them sleeps while the others are not polled.
func (k *Kernel) Run(cond func() bool, all ...Poller) error {
	nap := shortNap
	for end := k.Now() + patience; !cond(); {
		if k.Now() > end {
			return fmt.Errorf("simulated: what Run waits for did not come within %v", patience)
		}
		events := 0
		for _, t := range all {
			n, err := t.Poll(nap)
			if err != nil {
				return err
			}
			events += n
		}
		if nap = min(2*nap, longNap); events > 0 {
			nap = shortNap
		}
	}
	return nil
}
