//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A peer process holds clients that can be stopped and killed, as only a process can.
//
//	life ── stdin: addresses ──► peer process ── stdout: wrong bytes ──► life

// peerProcess runs one, stops it, lets it go on, and kills it, until the life ends.
func (l *life) peerProcess(r *rand.Rand) {
	l.weather.Lock() // it needs descriptors
	c := exec.Command("/proc/self/exe", "-peer", fmt.Sprint(r.Uint64()))
	in, err := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	c.Stderr = os.Stderr
	c.Env = append(os.Environ(), peerEnv+"=1")
	if err == nil && err2 == nil {
		err = c.Start()
	}
	l.weather.Unlock()
	if err != nil || err2 != nil {
		if !l.stopping.Load() {
			l.failf("a peer process: %v, %v", err, err2)
		}
		return
	}
	l.count(faults, "peer processes")
	l.mu.Lock()
	for _, p := range l.places {
		_, _ = fmt.Fprintf(in, "%s %s %s\n", p.network, p.address, p.kind)
	}
	l.mu.Unlock()
	_, _ = fmt.Fprintln(in)
	reports := make(chan struct{})
	go l.reports(out, reports)
	for range 20 {
		time.Sleep(time.Duration(50+r.IntN(200)) * time.Millisecond)
		if l.stopping.Load() {
			break
		}
		l.count(faults, "SIGSTOP and SIGCONT of a peer process")
		_ = unix.Kill(c.Process.Pid, unix.SIGSTOP)
		time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond)
		_ = unix.Kill(c.Process.Pid, unix.SIGCONT)
	}
	l.count(faults, "peer processes killed")
	_ = c.Process.Kill()
	<-reports
	_ = c.Wait()
	_ = in.Close()
}

func (l *life) reports(out io.Reader, over chan<- struct{}) {
	defer close(over)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if what, ok := strings.CutPrefix(lines.Text(), "FAIL "); ok {
			l.wrong("a peer process", &wrongBytes{text: what})
		} else {
			l.count(done, "scenarios played by peer processes")
		}
	}
}

// peerEnv is set for a peer process, so that a test binary knows, too.
const peerEnv = "TANDEM_SOAK_PEER"

// peers are the world of a peer process. Whatever happens to its connections may happen to them, but for wrong bytes.
type peers struct{ places []place }

func (w *peers) pick(r *rand.Rand, suits func(place) bool) (place, bool) {
	var all []place
	for _, p := range w.places {
		if suits(p) {
			all = append(all, p)
		}
	}
	if len(all) == 0 {
		return place{}, false
	}
	return all[r.IntN(len(all))], true
}

func (w *peers) excuse(uint64, bool) string { return "the peer process may be stopped" }

// beAPeer is the peer process.
func beAPeer(seed uint64) {
	w := &peers{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "" {
		var p place
		f := strings.SplitN(lines.Text(), " ", 3)
		p.network, p.address, p.kind = f[0], f[1], f[2]
		w.places = append(w.places, p)
	}
	s := &soak{seed: seed}
	s.watch = newWatchdog(func(string, []byte) {})
	s.report = func(what string) { fmt.Println("FAIL " + strings.ReplaceAll(what, "\n", " ")) }
	for i := range 6 {
		go func() {
			k := &client{soak: s, world: w, r: rand.New(rand.NewPCG(seed, uint64(i)))}
			for {
				x := everywhere[k.r.IntN(len(everywhere))]
				k.play(x)
				fmt.Println("played")
			}
		}()
	}
	for lines.Scan() { // until the life closes it
	}
}
