package main

import "fmt"

// String names a workload in tables and messages.
func (w workload) String() string {
	text := fmt.Sprintf("%s, %d connections × %s", w.Kind, w.Conns, byteCount(w.Size))
	if w.Depth > 1 {
		text += fmt.Sprintf(", %d in flight", w.Depth)
	}
	if w.Rate > 0 {
		text += fmt.Sprintf(", %d/s offered", w.Rate)
	}
	return text
}

func byteCount(n int) string {
	if n >= 1<<10 && n%(1<<10) == 0 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
