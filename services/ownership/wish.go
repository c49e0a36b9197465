package ownership

import (
	"context"
	"sync"
)

// wish is whether this node is to hold a partition. It is set from outside and
// followed by the goroutine of the holder.
type wish struct {
	mu struct {
		sync.Mutex
		wanted bool
		woken  chan struct{} // closed when wanted becomes true
		cancel context.CancelFunc
		ended  chan struct{} // closed when the tenures under way have ended; nil for none
	}
}

func newWish() *wish {
	w := new(wish)
	w.mu.woken = make(chan struct{})
	return w
}

func (w *wish) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mu.wanted {
		w.mu.wanted = true
		close(w.mu.woken)
	}
}

func (w *wish) wanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.wanted
}

func (w *wish) yield() bool {
	w.mu.Lock()
	was, ended := w.mu.wanted, w.mu.ended
	if was {
		w.mu.wanted, w.mu.woken = false, make(chan struct{})
	}
	if w.mu.cancel != nil {
		w.mu.cancel()
	}
	w.mu.Unlock()
	if ended != nil {
		<-ended
	}
	return was
}

// follow runs hold while it is wished for, and left when it is not any more, until
// ctx ends. Both must return when their context ends; nobody waits for left but
// the next hold.
func (w *wish) follow(ctx context.Context, hold, left func(context.Context)) {
	for ctx.Err() == nil {
		w.mu.Lock()
		woken := w.mu.woken
		w.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-woken:
			if w.once(ctx, hold); ctx.Err() == nil {
				left(ctx)
			}
		}
	}
}

func (w *wish) once(ctx context.Context, hold func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	if !w.mu.wanted { // taken back in between
		w.mu.Unlock()
		return
	}
	ended := make(chan struct{})
	w.mu.cancel, w.mu.ended = cancel, ended
	w.mu.Unlock()
	hold(ctx)
	w.mu.Lock()
	w.mu.cancel, w.mu.ended = nil, nil
	w.mu.Unlock()
	close(ended)
}
