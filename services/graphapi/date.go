package graphapi

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dated is a second and the header Date of its answers.
type dated struct {
	second int64
	header []string
}

//nolint:gochecknoglobals // what time it is, for all
var latest atomic.Pointer[dated]

// date is the value of Date for an answer of now, shared by all of its second:
// nobody writes into it.
func date(now time.Time) []string {
	d := latest.Load()
	if d == nil || d.second != now.Unix() {
		d = &dated{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		latest.Store(d)
	}
	return d.header
}
