package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// receive is called by the fake apps.
func (c *run) receive(letter string, d delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return
	}
	mids, _ := field(field(d.element, "delivery"), "mids").([]any)
	if len(mids) == 1 && strings.HasPrefix(fmt.Sprint(mids[0]), fenceMark) {
		c.mu.fences[letter] = fmt.Sprint(mids[0])
	} else {
		c.mu.received[letter] = append(c.mu.received[letter], d)
	}
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// errLate is returned by await.
var errLate = errors.New("did not come in time")

// await waits until a condition on what was received holds; it is called under
// the lock.
func (c *run) await(ctx context.Context, what string, holds func() bool) error {
	timer := time.NewTimer(time.Duration(c.kit.server.Deadline))
	defer timer.Stop()
	for {
		c.mu.Lock()
		done, changed := holds(), c.mu.changed
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return fmt.Errorf("%s %w (%s)", what, errLate, time.Duration(c.kit.server.Deadline))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const fenceMark = "fence."

// fence sends a delivery receipt through the thread, which changes nothing and
// is heard by every app, and waits until it has arrived everywhere: what was
// caused before has arrived then, too.
func (c *run) fence(ctx context.Context) error {
	c.unsettled = false
	if settle := time.Duration(c.kit.server.Settle); settle > 0 {
		return pause(ctx, settle)
	}
	c.sequence++
	mark := fmt.Sprintf("%s%d.%d", fenceMark, c.person, c.sequence)
	if _, err := c.post(ctx, c.element(map[string]any{"delivery": map[string]any{
		"mids": []any{mark}, "watermark": c.kit.time.now().UnixMilli(),
	}})); err != nil {
		return err
	}
	missing := ""
	err := c.await(ctx, "the fence", func() bool {
		missing = ""
		for _, letter := range c.page.connected() {
			if !c.deaf(letter) && c.mu.fences[letter] != mark {
				missing += " " + letter
			}
		}
		return missing == ""
	})
	if errors.Is(err, errLate) {
		return fmt.Errorf("%w: apps%s hear no more of the thread; they have %s", err, missing, c.describeReceived())
	}
	return err
}

// collect takes what was received since it was called last.
func (c *run) collect() map[string][]delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.mu.received
	c.mu.received = map[string][]delivery{}
	return got
}

// end returns what was received after the last comparison and takes no more.
func (c *run) end() string {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	return c.compareHeard(map[string]Heard{}, c.collect())
}

func (c *run) describeReceived() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, letter := range slices.Sorted(maps.Keys(c.mu.received)) {
		for _, d := range c.mu.received[letter] {
			lines = append(lines, letter+": "+d.String())
		}
	}
	if lines == nil {
		return "nothing else"
	}
	return strings.Join(lines, "; ")
}
