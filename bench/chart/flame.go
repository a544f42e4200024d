package chart

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"
	"github.com/tandem-io/tandem/bench/format"
)

// flame is a function in a flame graph, with all that it called.
type flame struct {
	Name  string
	Value int64 // nanoseconds, of those it called included
	Below map[string]*flame
}

// Flame draws a CPU profile: each box is a function, as wide as its share of the time, and stands on the one that
// called it. The file is a profile of runtime/pprof, or the text of perf-script(1), which has the functions of the
// kernel, too.
func Flame(path string) (*Chart, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	root := &flame{Name: "all"}
	if strings.HasSuffix(path, perfSuffix) {
		err = root.readPerf(string(data))
	} else {
		err = root.readProfile(data)
	}
	if err == nil && root.Value == 0 {
		err = errors.New("the profile is empty: nothing ran while it was taken")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return root.draw(strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".pprof"), perfSuffix)), nil
}

// readProfile adds the samples of a profile of runtime/pprof.
func (f *flame) readProfile(data []byte) error {
	p, err := profile.ParseData(data)
	if err != nil {
		return fmt.Errorf("not a CPU profile: %w", err)
	}
	column := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == "cpu" })
	if column < 0 {
		return errors.New("a profile, but not of CPU time")
	}
	for _, s := range p.Sample {
		f.add(functions(s), s.Value[column])
	}
	return nil
}

// functions names a sample's functions, the outermost first. Inlined ones are functions, too.
func functions(s *profile.Sample) []string {
	var names []string
	for _, location := range slices.Backward(s.Location) {
		if len(location.Line) == 0 {
			names = append(names, fmt.Sprintf("%#x", location.Address))
		}
		for _, line := range slices.Backward(location.Line) {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

func (f *flame) add(names []string, value int64) {
	f.Value += value
	if len(names) == 0 {
		return
	}
	below := f.Below[names[0]]
	if below == nil {
		if f.Below == nil {
			f.Below = make(map[string]*flame)
		}
		below = &flame{Name: names[0]}
		f.Below[names[0]] = below
	}
	below.add(names[1:], value)
}

// How a flame graph is laid out. It is drawn wider than other charts: names need room.
const (
	flameWidth = 1200.0
	flameRow   = 18.0
	flameLeast = 0.5 // narrower boxes are not drawn
)

func (f *flame) draw(of string) *Chart {
	c := &Chart{Name: "CPU profile: " + of, width: flameWidth, Description: f.inWords()}
	total := float64(f.Value)
	var deepest int
	var box func(f *flame, x float64, depth int)
	box = func(f *flame, x float64, depth int) {
		width := float64(f.Value) / total * flameWidth
		if width < flameLeast {
			return
		}
		deepest = max(deepest, depth)
		c.flameBox(f, x, float64(depth)*flameRow, width, float64(f.Value)/total)
		for _, below := range f.sorted() {
			box(below, x, depth+1)
			x += float64(below.Value) / total * flameWidth
		}
	}
	box(f, 0, 0)
	c.height = float64(deepest+1)*flameRow + 4
	return c
}

func (c *Chart) flameBox(f *flame, x, y, width, share float64) {
	const perLetter, margin = 7.2, 8
	tip := fmt.Sprintf("%s: %s, %s", f.Name, format.Percent(share), time.Duration(f.Value).Round(time.Millisecond))
	c.rect(fmt.Sprintf("box f%d", flameColour(f.Name)), x, y, width-0.6, flameRow-1, tip)
	letters := int((width - margin) / perLetter)
	if name := shortFunction(f.Name); letters >= 3 {
		if runes := []rune(name); len(runes) > letters {
			name = string(runes[:letters-1]) + "…"
		}
		c.text("boxed", x+margin/2, y+12.5, name)
	}
}

// sorted lists the called functions by name, so that two profiles of one program look alike.
func (f *flame) sorted() []*flame {
	list := make([]*flame, 0, len(f.Below))
	for _, below := range f.Below {
		list = append(list, below)
	}
	slices.SortFunc(list, func(a, b *flame) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// flameColour distinguishes system calls and the kernel, the runtime, this library, and everything else.
func flameColour(name string) int {
	switch {
	case strings.HasSuffix(name, kernelSuffix) || strings.Contains(name, "syscall") || strings.Contains(name, "Syscall"):
		return 0
	case strings.HasPrefix(name, "runtime."):
		return 1
	case strings.Contains(name, "tandem-io/tandem"):
		return 2
	}
	return 3
}

// shortFunction removes the path of the package.
func shortFunction(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// inWords names the functions that themselves took most of the time.
func (f *flame) inWords() string {
	own := make(map[string]int64)
	var walk func(f *flame)
	walk = func(f *flame) {
		left := f.Value
		for _, below := range f.Below {
			left -= below.Value
			walk(below)
		}
		own[f.Name] += left
	}
	walk(f)
	var list []*flame
	for name, value := range own {
		list = append(list, &flame{Name: name, Value: value})
	}
	slices.SortFunc(list, func(a, b *flame) int {
		return cmp.Or(cmp.Compare(b.Value, a.Value), cmp.Compare(a.Name, b.Name))
	})
	var parts []string
	for _, l := range list[:min(5, len(list))] {
		parts = append(parts, fmt.Sprintf("%s %s", l.Name, format.Percent(float64(l.Value)/float64(f.Value))))
	}
	return "most time was spent in " + strings.Join(parts, ", ")
}
