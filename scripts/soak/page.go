//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// write writes the page.
func (s *soak) write() {
	text := s.markdown()
	if s.page == "" {
		fmt.Print(text)
		return
	}
	beside := s.page + ".new"
	err := os.WriteFile(beside, []byte(text), 0o644)
	if err == nil {
		err = os.Rename(beside, s.page)
	}
	if err != nil && !mayLack(err) { // else the next one will succeed
		_, _ = fmt.Fprintf(os.Stderr, "soak: %v\n", err)
	}
}

// markdown is the page.
func (s *soak) markdown() string {
	var b strings.Builder
	ran := time.Since(s.began).Round(time.Second)
	s.mu.Lock()
	failures, more, most := append([]string(nil), s.failures...), s.more, s.most
	s.mu.Unlock()
	verdict := "no failure"
	if n := len(failures) + more; n > 0 {
		verdict = fmt.Sprintf("%d FAILURES", n)
	}
	_, _ = fmt.Fprintf(&b, "# Soak: %s, %v of %v, %s\n\n", s.name, ran, s.length, verdict)
	_, _ = fmt.Fprintf(&b, "    %s\n\n", s.command())
	inUse, cycles := heap()
	var usage unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &usage)
	table(&b, [][2]string{
		{"machine", fmt.Sprintf("%d CPUs, %s; GOMAXPROCS %d, %s%s", runtime.NumCPU(), kernel(), runtime.GOMAXPROCS(0), runtime.Version(), raced)},
		{"memory poisoning", poisoning()},
		{"seed", fmt.Sprint(s.seed)},
		{"began", s.began.UTC().Format(time.RFC3339)},
		{"ran", fmt.Sprintf("%v; %v of a CPU", ran, (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Round(time.Second))},
		{"lives of Transports", fmt.Sprint(s.lives.Load())},
		{"bytes verified", fmt.Sprint(s.verified.Load())},
		{"**wrong bytes**", fmt.Sprint(s.wrongs.Load())},
		{"**leaks**", fmt.Sprint(s.leaked.Load())},
		{"most resident memory", fmt.Sprintf("%d MiB", usage.Maxrss>>10)},
		{"heap in use now", fmt.Sprintf("%d MiB, after %d GC cycles", inUse>>20, cycles)},
		{"most descriptors", fmt.Sprint(most.files)},
		{"most goroutines", fmt.Sprint(most.goroutines)},
		{"most mappings", fmt.Sprint(most.maps)},
		{"longest turn", most.turn.String()},
		{"longest callback for data", most.callback.String()},
	})
	for _, group := range []string{opened, closed, messages, faults, excused, ends, done, system, logged} {
		rows, sum := s.rows(group)
		if len(rows) == 0 {
			continue
		}
		_, _ = fmt.Fprintf(&b, "\n## %s\n\n", group)
		var lines [][2]string
		for _, r := range rows {
			lines = append(lines, [2]string{r.kind, fmt.Sprint(r.n)})
		}
		if group != system && group != done {
			lines = append(lines, [2]string{"in all", fmt.Sprint(sum)})
		}
		table(&b, lines)
	}
	listFailures(&b, failures, more)
	return b.String()
}

// listFailures writes the last chapter.
func listFailures(b *strings.Builder, failures []string, more int) {
	_, _ = fmt.Fprintf(b, "\n## Failures\n\n")
	if len(failures) == 0 {
		_, _ = fmt.Fprintln(b, "None.")
	}
	for _, f := range failures {
		_, _ = fmt.Fprintf(b, "- %s\n", strings.ReplaceAll(f, "\n", "\n  "))
	}
	if more > 0 {
		_, _ = fmt.Fprintf(b, "- and %d more\n", more)
	}
}

func table(b *strings.Builder, rows [][2]string) {
	_, _ = fmt.Fprintf(b, "| | |\n|---|---:|\n")
	for _, r := range rows {
		_, _ = fmt.Fprintf(b, "| %s | %s |\n", strings.ReplaceAll(r[0], "|", "\\|"), r[1])
	}
}

// command runs the same again, as far as chance in a busy machine allows.
func (s *soak) command() string {
	return fmt.Sprintf("scripts/soak.sh --backend %s --seed %d %v", s.name, s.seed, s.length)
}

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown kernel"
	}
	return fmt.Sprintf("%s %s %s", unix.ByteSliceToString(u.Sysname[:]), unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Machine[:]))
}

func poisoning() string {
	if os.Getenv("TANDEM_POISON") == "1" {
		return "asked for, TANDEM_POISON=1"
	}
	return "off"
}
