package format

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Table writes a table: the first column to the left, all others to the right.
func Table(b *strings.Builder, cells [][]string) {
	const first, other = 22, 9
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell), other)
		}
	}
	width[0] = max(width[0], first)
	for _, line := range cells {
		text := "  " + line[0] + strings.Repeat(" ", width[0]-utf8.RuneCountInString(line[0]))
		for i, cell := range line[1:] {
			text += strings.Repeat(" ", 2+width[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		fmt.Fprintln(b, strings.TrimRight(text, " "))
	}
}
