package graphapi

import (
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
)

// Limiter admits calls of apps. Admit takes one call off the caller's limit; ok
// is false when it is used up, and then retryAfter is in seconds. It does not
// block and is safe for concurrent use.
type Limiter interface {
	Admit(caller *roster.Caller) (u Usage, retryAfter int, ok bool)
}

// Usage is the share of its limit that an app has used.
type Usage struct {
	Percent int
	// Limited is false for an app without a limit.
	Limited bool
}

// set writes the header that clients read.
func (u Usage) set(r *reply) {
	if u.Limited {
		r.headers().Set("X-App-Usage", fmt.Sprintf(`{"call_count":%d,"total_cputime":0,"total_time":0}`, u.Percent))
	}
}

// buckets is a token bucket per app, as large as the roster in force says.
type buckets struct {
	mu struct {
		sync.Mutex
		apps map[control.AppID]*bucket
	}
}

type bucket struct {
	tokens float64
	at     time.Time
}

// NewLimiter admits calls by each app's rate_limit.
func NewLimiter() Limiter {
	b := &buckets{}
	b.mu.apps = map[control.AppID]*bucket{}
	return b
}

// Admit implements Limiter.
func (b *buckets) Admit(caller *roster.Caller) (Usage, int, bool) {
	rate := float64(caller.App.RateLimit.PerSecond)
	if rate == 0 {
		return Usage{}, 0, true
	}
	burst := max(float64(caller.App.RateLimit.Burst), rate)
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.mu.apps[caller.App.Number]
	if !ok {
		k = &bucket{tokens: burst, at: now}
		b.mu.apps[caller.App.Number] = k
	}
	k.tokens = min(burst, k.tokens+rate*now.Sub(k.at).Seconds())
	k.at = now
	if k.tokens < 1 {
		return Usage{Percent: 100, Limited: true}, int(math.Ceil((1 - k.tokens) / rate)), false
	}
	k.tokens--
	return Usage{Percent: int(100 * (burst - k.tokens) / burst), Limited: true}, 0, true
}
