//go:build linux

package main

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// workloadsOf lists the loads under which a mode is tested: more connections than the ring of the floor has buffers, and
// more bytes than a buffer holds.
func workloadsOf(mode string) []workload {
	echoes := func(kind string) []workload {
		return []workload{
			{Kind: kind, Conns: 300, Size: 64, Depth: 1},
			{Kind: kind, Conns: 3, Size: 100, Depth: 16},
			{Kind: kind, Conns: 2, Size: 100_000, Depth: 3},
			{Kind: kind, Conns: 3, Size: 64, Depth: 1, Rate: 2000},
		}
	}
	switch mode {
	case modeEcho:
		return append(echoes(kindEcho), workload{Kind: kindChurn, Conns: 8, Size: 64, Depth: 1})
	case modeFrameEcho:
		return append(echoes(kindFrameEcho), workload{Kind: kindFrameEcho, Conns: 1, Size: 1 << 20, Depth: 1})
	case modeConnEcho:
		return echoes(kindConnEcho)
	case modeDiscard:
		return []workload{{Kind: kindStream, Conns: 4, Size: 1000, Depth: 1}, {Kind: kindStream, Conns: 1, Size: 1 << 20, Depth: 1}}
	case modeFanOut:
		return []workload{{Kind: kindFanOut, Conns: 20, Size: 64, Depth: 4}, {Kind: kindFanOut, Conns: 3, Size: 100_000, Depth: 1}}
	case modeWorker:
		return echoes(kindWorker)
	}
	return nil
}

func TestEveryImplementationInEveryMode(t *testing.T) {
	for _, im := range implementations() {
		for _, mode := range im.Modes {
			t.Run(im.Name+"/"+mode, func(t *testing.T) {
				s := start(t, im.Name, mode)
				addr, err := net.ResolveTCPAddr("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range workloadsOf(mode) {
					r, err := runLoad(loadConfig{
						workload: w, Addr: addr, Window: 20 * time.Millisecond, Stall: time.Minute, PID: s.cmd.Process.Pid,
					})
					if im.Name == "nbio" && errors.Is(err, errUnread) {
						t.Skipf("nbio 1.6.9 closes at a FIN when three reads have not taken what came before it: %v", err)
					}
					if err != nil {
						t.Fatalf("%v: %v", w, err)
					}
					if r.Messages == 0 || r.Resident == 0 {
						t.Errorf("%v: %+v", w, r)
					}
				}
				if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Fatal(err)
				}
				if <-s.done; s.err != nil {
					t.Errorf("after SIGTERM: %v", s.death())
				}
			})
		}
	}
}

// TestWork: no answer is there before the handler has burnt its time.
func TestWork(t *testing.T) {
	const work = 300 * time.Microsecond
	for _, im := range implementations() {
		if im.Extra {
			continue
		}
		t.Run(im.Name, func(t *testing.T) {
			s := start(t, im.Name, modeEcho, "--work", work.String())
			addr, err := net.ResolveTCPAddr("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			config := smallLoad(addr)
			config.Conns, config.Depth = 1, 1
			r, err := runLoad(config)
			if err != nil {
				t.Fatal(err)
			}
			if least := time.Duration(decodeLatency(t, r).Min()); least < work*99/100 {
				t.Errorf("an answer came after %v", least)
			}
		})
	}
}

// TestIdleMemory holds connections open and looks at what they cost.
func TestIdleMemory(t *testing.T) {
	s := start(t, "net", modeEcho)
	addr, err := net.ResolveTCPAddr("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	const conns = 500
	r, err := runLoad(loadConfig{
		workload: workload{Kind: kindIdle, Conns: conns, Size: 64, Depth: 1}, Addr: addr, Window: 10 * time.Millisecond,
		Stall: time.Minute, PID: s.cmd.Process.Pid,
	})
	if err != nil {
		t.Fatal(err)
	}
	// A goroutine's stack and a touched page of its buffer: some thousand bytes, and not the 64 KiB of the whole buffer.
	if r.PerConn < 2<<10 || r.PerConn > 64<<10 {
		t.Errorf("%.0f bytes for each connection", r.PerConn)
	}
	if r.Messages != 0 || r.Latency != "" {
		t.Errorf("nothing was sent in the window: %+v", r)
	}
}
