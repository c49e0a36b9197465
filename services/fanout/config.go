package fanout

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// Config is what the role can be told. Default gives the defaults named at the
// fields.
type Config struct {
	// Node is the node's name, written into the cursors for people.
	Node string
	// BatonID is the identity of the streams; cursors and records of another
	// one are refused.
	BatonID [16]byte
	// Partitions are those to hold from the start; see Service.Hold.
	Partitions []int
	// All is how many partitions the installation has.
	All int
	// Sole says that no other process can hold these cursors, as the lock of
	// the data directory proves when the server is embedded: no waiting for a
	// predecessor, no renewals.
	Sole bool
	// UserAgent of the POSTs.
	UserAgent string
	// SaveEvery is how often the cursors that have changed are saved; 1 s.
	SaveEvery time.Duration
	// SaveTogether is from how many cursors on they are saved in one write. A
	// server alone takes as much time for that as for about 16 single ones, which is
	// the default; several servers are quicker from 2 on.
	SaveTogether int
	// SaveTimeout bounds a save; 2 s.
	SaveTimeout time.Duration
	// LeaseFor is how long after the last accepted save a POST may still
	// start, and how long a successor waits; 3 s.
	LeaseFor time.Duration
	// ReclaimAfter is how long after another node has taken a partition over
	// it is claimed again, if it is still to be held: 10 s. A node that was
	// paused learns before that the partition is no longer its own.
	ReclaimAfter time.Duration
	// DrainFor is how long POSTs under way may take when the role stops; 6 s.
	DrainFor time.Duration
	// AppLetters and AppBytes bound what waits in memory for one app; 8,192
	// and 8 MiB. Beyond, the log is the queue.
	AppLetters, AppBytes int
	// TotalBytes bounds what waits for all apps together; 128 MiB. An app may
	// always hold AppBytes/16 of its own.
	TotalBytes int
	// TotalPosts bounds the POSTs under way for all apps together; 4,096. Half
	// of them are shared out evenly, the other half to whoever needs them.
	TotalPosts int
	// CacheBytes bounds the payload cache, shared evenly by the partitions;
	// 32 MiB, at least 256 KiB each.
	CacheBytes int
}

// minShelf is the least share of a partition in the payload cache.
const minShelf = 256 << 10

// Default is the configuration of a node that holds the given number of
// partitions alone.
func Default(partitions int) Config {
	c := Config{
		All:       partitions,
		UserAgent: "Baton/1", SaveEvery: time.Second, SaveTogether: 16, SaveTimeout: 2 * time.Second, LeaseFor: 3 * time.Second,
		ReclaimAfter: 10 * time.Second, DrainFor: 6 * time.Second, AppLetters: 8192, AppBytes: 8 << 20, TotalBytes: 128 << 20, CacheBytes: 32 << 20,
		TotalPosts: 4096,
	}
	for p := range partitions {
		c.Partitions = append(c.Partitions, p)
	}
	return c
}

// Validate lists every fault.
func (c *Config) Validate() error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf("fanout: "+format, args...))
		}
	}
	check(c.All > 0, "all %d: there is at least one partition", c.All)
	check(c.UserAgent != "", "no user agent")
	check(c.SaveEvery > 0 && c.SaveEvery < c.LeaseFor, "save_every %v must be above 0 and below lease_for %v", c.SaveEvery, c.LeaseFor)
	check(c.SaveTogether > 1, "save_together %d must be above 1", c.SaveTogether)
	check(c.SaveTimeout > 0 && c.SaveTimeout < c.LeaseFor, "save_timeout %v must be above 0 and below lease_for %v", c.SaveTimeout, c.LeaseFor)
	check(c.ReclaimAfter > 0, "reclaim_after %v must be above 0", c.ReclaimAfter)
	check(c.DrainFor > 0, "drain_for %v must be above 0", c.DrainFor)
	check(c.AppLetters > 0 && c.AppLetters <= maxOpenPerApp, "app_letters %d must be 1 to %d", c.AppLetters, maxOpenPerApp)
	check(c.AppBytes > 0, "app_bytes %d must be above 0", c.AppBytes)
	check(c.TotalBytes >= c.AppBytes, "total_bytes %d must not be below app_bytes %d", c.TotalBytes, c.AppBytes)
	check(c.TotalPosts > 1, "total_posts %d must be above 1", c.TotalPosts)
	check(c.CacheBytes > 0, "cache_bytes %d must be above 0", c.CacheBytes)
	return errors.Join(faults...)
}

// newIdentity makes the random identity of a process.
func newIdentity() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}
