package format

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNumbers(t *testing.T) {
	for want, got := range map[string]string{
		"0": Grouped(0), "999": Grouped(999), "1,000": Grouped(1000), "-1,234,567": Grouped(-1234567), "12,346": Grouped(12345.6),
		"0.5": Micros(500), "9.9": Micros(9940), "10": Micros(9960), "1,500": Micros(1.5e6),
		"0%": Percent(0), "0.1%": Percent(0.00001), "0.5%": Percent(0.005), "12%": Percent(0.123), "130%": Percent(1.3),
		"1.50": TwoDigits(1.5),
		"64 B": Size(64), "1500 B": Size(1500), "16 KiB": Size(16 << 10), "3 MiB": Size(3 << 20),
		"server" + Plural(1): "server", "servers": "server" + Plural(2), "no servers": "no server" + Plural(0),
	} {
		assert.Equal(t, want, got)
	}
}

func TestTableAlignsColumns(t *testing.T) {
	var b strings.Builder
	Table(&b, [][]string{{"", "p50 µs", "a column that is wide"}, {"net", "12", "3"}})
	assert.Equal(t, "                             p50 µs  a column that is wide\n"+
		"  net                            12                      3\n", b.String())
}
