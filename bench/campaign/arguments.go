//go:build linux

package campaign

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tandem-io/tandem/bench/servers"
	"github.com/tandem-io/tandem/bench/workload"
)

// serveArguments is the command line of a server for one measurement.
func (p Plan) serveArguments(at Cell, socket string) ([]string, error) {
	im, err := servers.Find(at.Impl)
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--impl", im.Name, "--addr", "127.0.0.1:0", "--mode", at.Workload.Mode()}
	if im.Loops {
		args = append(args, "--loops", strconv.Itoa(p.Procs))
	}
	if socket != "" {
		args = append(args, "--control", socket)
	}
	if mode := at.Workload.Mode(); p.Work > 0 && !im.Bare && (mode == workload.ModeEcho || mode == workload.ModeFrameEcho) {
		args = append(args, "--work", p.Work.String())
	}
	args = append(args, p.ServeFlags...)
	return append(args, cpuFlag(p.ServerCPUs)...), nil
}

// ListeningLine is what serve prints when it listens: address, implementation, mode, details.
const ListeningLine = "listening on %v impl %s mode %s %s"

// parseListening takes the address and the details out of the line.
func parseListening(line string) (addr, details string, err error) {
	var impl, mode string
	if n, _ := fmt.Sscanf(line, ListeningLine, &addr, &impl, &mode, &details); n < 3 {
		return "", "", fmt.Errorf("the server's first line does not say where it listens: %q", line)
	}
	// Sscanf takes one word; the details are the rest.
	_, rest, _ := strings.Cut(line, " mode "+mode)
	return addr, strings.TrimSpace(rest), nil
}

// loadArguments is the command line of the load generator for one measurement.
func (p Plan) loadArguments(s *Server, w workload.Workload) []string {
	args := []string{"load", "--addr", s.Addr, "--pid", strconv.Itoa(s.PID()), "--kind", w.Kind,
		"--conns", strconv.Itoa(w.Conns), "--size", strconv.Itoa(w.Size), "--depth", strconv.Itoa(w.Depth),
		"--rate", strconv.Itoa(w.Rate), "--warmup", p.Warmup.String(), "--window", p.Window.String()}
	if s.socket != "" {
		args = append(args, "--control", s.socket)
	}
	if p.Syscalls {
		args = append(args, "--syscalls")
	}
	return append(args, cpuFlag(p.LoadCPUs)...)
}

func cpuFlag(cpus []int) []string {
	if len(cpus) == 0 {
		return nil
	}
	return []string{"--cpus", strings.Trim(strings.ReplaceAll(fmt.Sprint(cpus), " ", ","), "[]")}
}
