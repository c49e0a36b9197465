package floor

import (
	"context"
	"errors"
	"os"
	"time"
)

// Append appends size bytes to a new file in dir and syncs it, again and again
// for a while, one after the other. It returns how often, at least once, and
// removes the file.
func Append(ctx context.Context, dir string, size int, d time.Duration) (appends int, err error) {
	f, err := os.CreateTemp(dir, "append-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	data := make([]byte, size)
	for until := time.Now().Add(d); (appends == 0 || time.Now().Before(until)) && ctx.Err() == nil; appends++ {
		if _, err := f.Write(data); err != nil {
			return appends, err
		}
		if err := f.Sync(); err != nil {
			return appends, err
		}
	}
	return appends, ctx.Err()
}
