package chart

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// linear is a colour in linear light: red, green, blue, from 0 to 1.
type linear [3]float64

// parseColour reads #rrggbb.
func parseColour(t *testing.T, text string) linear {
	t.Helper()
	require.Regexp(t, `^#[0-9a-f]{6}$`, text)
	var c linear
	for i := range c {
		n, err := strconv.ParseUint(text[1+2*i:3+2*i], 16, 8)
		require.NoError(t, err)
		if v := float64(n) / 255; v <= 0.04045 {
			c[i] = v / 12.92
		} else {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return c
}

func (c linear) times(m [3]linear) linear {
	var out linear
	for i, row := range m {
		out[i] = row[0]*c[0] + row[1]*c[1] + row[2]*c[2]
	}
	return out
}

// distance is how different two colours look: the distance in Ottosson's Oklab, in which black and white are 1 apart.
func distance(a, b linear) float64 {
	lab := func(c linear) linear {
		c = c.times([3]linear{
			{0.4122214708, 0.5363325363, 0.0514459929}, {0.2119034982, 0.6806995451, 0.1073969566},
			{0.0883024619, 0.2817188376, 0.6299787005},
		})
		for i := range c {
			c[i] = math.Cbrt(c[i])
		}
		return c.times([3]linear{
			{0.2104542553, 0.7936177850, -0.0040720468}, {1.9779984951, -2.4285922050, 0.4505937099},
			{0.0259040371, 0.7827717662, -0.8086757660},
		})
	}
	p, q := lab(a), lab(b)
	return math.Sqrt((p[0]-q[0])*(p[0]-q[0]) + (p[1]-q[1])*(p[1]-q[1]) + (p[2]-q[2])*(p[2]-q[2]))
}

// visions are what the eye does to linear light: Machado, Oliveira and Fernandes (2009), at full severity.
var visions = map[string][3]linear{
	"usual":             {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"no red cones":      {{0.152286, 1.052583, -0.204868}, {0.114503, 0.786281, 0.099216}, {-0.003882, -0.048116, 1.051998}},
	"no green cones":    {{0.367322, 0.860646, -0.227968}, {0.280085, 0.672501, 0.047413}, {-0.011820, 0.042940, 0.968881}},
	"no blue cones":     {{1.255528, -0.076749, -0.178779}, {-0.078411, 0.930809, 0.147602}, {0.004733, 0.691367, 0.303900}},
	"no colours at all": {{0.2126, 0.7152, 0.0722}, {0.2126, 0.7152, 0.0722}, {0.2126, 0.7152, 0.0722}},
}

// TestColoursCanBeToldApart leaves the last vision out: for it there are dashes and markers.
func TestColoursCanBeToldApart(t *testing.T) {
	const least = 0.07 // as black and white are 1 apart
	for theme, colours := range map[string][colours]string{"light": lightColours, "dark": darkColours} {
		for vision, matrix := range visions {
			if vision == "no colours at all" {
				continue
			}
			t.Run(theme+", "+vision, func(t *testing.T) {
				for i, a := range colours {
					for _, b := range colours[:i] {
						d := distance(clamped(parseColour(t, a).times(matrix)), clamped(parseColour(t, b).times(matrix)))
						assert.Greater(t, d, least, "%s and %s", a, b)
					}
				}
			})
		}
	}
}

func clamped(c linear) linear {
	for i := range c {
		c[i] = min(max(c[i], 0), 1)
	}
	return c
}

// TestSeriesDifferWithoutColour: no two servers that are listed share dash and marker and colour, and none that are
// measured by default share any of these.
func TestSeriesDifferWithoutColour(t *testing.T) {
	seen := make(map[series]string)
	for i, impl := range seriesOrder {
		s := seriesOf(impl)
		assert.NotContains(t, seen, s, "%s is drawn as %s is", impl, seen[s])
		seen[s] = impl
		if i < colours {
			assert.Equal(t, series{i, i}, s, impl)
		}
	}
	for name, list := range map[string][colours]string{"dashes": dashes, "markers": markers} {
		distinct := make(map[string]bool)
		for _, one := range list {
			distinct[one] = true
		}
		assert.Len(t, distinct, colours, name)
	}
}

func TestALineIsDrawnWithItsDashAndMarker(t *testing.T) {
	points := []point{{1, 1}, {2, 3}}
	text := lineChart("name", "of", axis{High: 2, Text: ShortNumber}, axis{Low: 1, High: 3, Text: ShortNumber},
		[]curve{{Impl: "net", Points: points}, {Impl: "gnet", Points: points}}).File()
	for _, impl := range []string{"net", "gnet"} {
		s := seriesOf(impl)
		assert.Contains(t, text, fmt.Sprintf(`class="curve s%d" stroke-dasharray="%s"`, s.colour, dashes[s.style]))
		assert.Regexp(t, fmt.Sprintf(`class="mark s%d" [^>]*d="%s"`, s.colour, regexp.QuoteMeta(markers[s.style])), text)
	}
}

// TestTextAndOutlinesAreReadable: text has a contrast of 4.5 to 1 to its background, and so do the outlines of shapes
// whose own colour is too light: WCAG 2.1, 1.4.3 and 1.4.11.
func TestTextAndOutlinesAreReadable(t *testing.T) {
	luminance := func(text string) float64 { return parseColour(t, text).times(visions["no colours at all"])[0] }
	contrast := func(a, b string) float64 {
		x, y := luminance(a)+0.05, luminance(b)+0.05
		return max(x, y) / min(x, y)
	}
	themes := regexp.MustCompile(`--bg:(#\w+);--ink:(#\w+);--soft:(#\w+);`).FindAllStringSubmatch(Style, -1)
	require.Len(t, themes, 2, "light and dark")
	for _, c := range themes {
		assert.Greater(t, contrast(c[1], c[2]), 4.5, "ink on %s", c[1])
		assert.Greater(t, contrast(c[1], c[3]), 4.5, "soft on %s", c[1])
	}
	for _, rule := range []string{`.chart text{fill:var(--ink)}`, `.mark{fill:var(--c);stroke:var(--ink)`, `.bar{fill:var(--c);stroke:var(--ink)`} {
		assert.Contains(t, Style, rule)
	}
	boxes := regexp.MustCompile(`\.f\d\{fill:(#\w+)\}`).FindAllStringSubmatch(Style, -1)
	require.Len(t, boxes, 4, "colours of a flame graph")
	for _, c := range boxes {
		assert.Greater(t, contrast(c[1], "#1b1f24"), 4.5, "the text of a box of colour %s", c[1])
	}
}
