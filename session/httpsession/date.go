package httpsession

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the value of Date within a second, as a field of an http.Header, too. Neither is ever changed.
type date struct {
	second int64
	text   string
	values []string
}

// dates remembers the present one. Any goroutine may use it.
type dates struct{ present atomic.Pointer[date] }

// at returns the date at a time.
func (d *dates) at(now time.Time) *date {
	second := now.Unix()
	if present := d.present.Load(); present != nil && present.second == second {
		return present
	}
	text := now.UTC().Format(http.TimeFormat)
	next := &date{second: second, text: text, values: []string{text}}
	d.present.Store(next)
	return next
}
