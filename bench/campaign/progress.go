//go:build linux

package campaign

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Progress shows how far a run has come. On a terminal it rewrites one line, with a bar; elsewhere it writes a line
// whenever another workload begins, so that a log stays short.
type Progress struct {
	w        io.Writer
	terminal bool
	total    int
	done     int
	last     string // the workload shown last
	began    time.Time
	expected time.Duration
}

// NewProgress prepares to show the progress of a plan on w.
func NewProgress(w io.Writer, p Plan) *Progress {
	pr := &Progress{w: w, total: len(p.Cells()), expected: p.Duration(), began: time.Now()}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		pr.terminal = err == nil
	}
	return pr
}

// show displays the measurement that begins now.
func (p *Progress) show(c Cell, rounds int) {
	title := fmt.Sprintf("%v round %d", c.Workload, c.Round)
	if !p.terminal && title == p.last {
		return
	}
	p.last = title
	line := fmt.Sprintf("[%*d/%d] round %d of %d: %v: %s, about %d s left", len(fmt.Sprint(p.total)), p.done+1, p.total,
		c.Round+1, rounds, c.Workload, c.Impl, p.left())
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s %s", progressBar(p.done, p.total), line)
	} else {
		fmt.Fprintln(p.w, line)
	}
}

// barWidth is the length of the bar, in characters.
const barWidth = 20

func progressBar(done, total int) string {
	full := barWidth * done / max(total, 1)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

// left estimates the remaining seconds: from the plan at first, then increasingly from the time taken so far.
func (p *Progress) left() int {
	rest := float64(p.total-p.done) / float64(p.total)
	planned := p.expected.Seconds()
	if p.done > 0 {
		seen := time.Since(p.began).Seconds() * float64(p.total) / float64(p.done)
		planned = planned*rest + seen*(1-rest)
	}
	return int(planned*rest + 0.5)
}

// end removes the line from the terminal.
func (p *Progress) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
