//go:build linux

package load

import (
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/tandem-io/tandem/bench/results"
	"github.com/tandem-io/tandem/bench/workload"
)

// Config is one measurement.
type Config struct {
	workload.Workload
	Addr     *net.TCPAddr
	Warmup   time.Duration // not measured
	Window   time.Duration // measured
	Stall    time.Duration // an answer that takes longer is an error
	PID      int           // process whose CPU time and memory are measured; 0: none
	Control  string        // Unix socket on which the server reports its counts; "": none
	Syscalls bool          // count the server's system calls
}

// Check returns an error for a measurement that is impossible.
func (c Config) Check() error {
	if err := c.Workload.Check(); err != nil {
		return err
	}
	switch {
	case c.Warmup < 0 || c.Window <= 0 || c.Stall <= 0:
		return fmt.Errorf("bad times: warm-up %v, window %v, stall %v", c.Warmup, c.Window, c.Stall)
	case c.PID < 0:
		return fmt.Errorf("bad --pid %d: want the number of a process", c.PID)
	case c.PID == 0 && workload.IsIdle(c.Kind):
		return fmt.Errorf("%s needs --pid: it looks at the memory of the server", c.Kind)
	case c.PID == 0 && c.Syscalls:
		return fmt.Errorf("--syscalls needs --pid: it looks at the server's threads")
	}
	return nil
}

// Run makes one measurement on a thread of its own.
func Run(config Config) (results.Sample, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if workload.IsIdle(config.Kind) {
		return runIdle(config)
	}
	g, err := newGenerator(config)
	if err != nil {
		return results.Sample{}, err
	}
	defer g.close()
	return g.run()
}

// StallLimit is how long an answer may take.
const StallLimit = 5 * time.Second
