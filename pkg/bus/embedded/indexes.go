package embedded

import (
	"context"
	"path/filepath"
	"reflect"
	"time"
	"unsafe" // also for go:linkname

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sync/errgroup"

	"github.com/baton-router/baton/pkg/bus/embedded/streamindex"
)

// indexEvery is how often the server is made to write its streams' indexes. A
// start after a crash reads what was written behind them. The server's own
// interval is two minutes.
const indexEvery = 5 * time.Second

// streamsOf are the streams of an account.
//
//go:linkname streamsOf github.com/nats-io/nats-server/v2/server.(*Account).streams
func streamsOf(a *server.Account) []unsafe.Pointer

// storeOf is where a stream is stored.
//
//go:linkname storeOf github.com/nats-io/nats-server/v2/server.(*stream).Store
func storeOf(stream unsafe.Pointer) server.StreamStore

// writeIndex has a store in files write its index, if anything has changed.
//
//go:linkname writeIndex github.com/nats-io/nats-server/v2/server.(*fileStore).forceWriteFullState
func writeIndex(store unsafe.Pointer) error

// fileStore is the type of a store for which writeIndex is made.
const fileStore = "*server.fileStore"

// keepIndexes writes the indexes of the streams until ctx ends.
func (s *Server) keepIndexes(ctx context.Context) {
	t := time.NewTicker(indexEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.writeIndexes()
		}
	}
}

// writeIndexes writes the index of every stream that has changed.
func (s *Server) writeIndexes() {
	account, err := s.nats.LookupAccount(accountBaton)
	if err != nil {
		return // no stream yet
	}
	for _, stream := range streamsOf(account) {
		store := reflect.ValueOf(storeOf(stream))
		if store.IsValid() && store.Type().String() == fileStore {
			_ = writeIndex(store.UnsafePointer()) // the next one comes soon
		}
	}
}

// refreshIndexes brings the indexes of the streams up to their files, so that
// the server need not read the streams anew after a crash. Without syncing a
// power cut may have left holes in any file: only the server's own reading finds
// them.
func refreshIndexes(o Options) {
	if !o.Sync {
		return
	}
	dirs, _ := filepath.Glob(filepath.Join(o.Dir, "nats", "jetstream", "*", "streams", "*")) // the pattern is good
	var g errgroup.Group
	for _, dir := range dirs {
		g.Go(func() error {
			began := time.Now()
			read, err := streamindex.Refresh(dir)
			log := o.Logger.With("stream", filepath.Base(dir), "took", time.Since(began))
			switch {
			case err != nil:
				log.Info("the stream is read anew", "why", err)
			case read > 0:
				log.Debug("the stream's index is brought up to date", "bytes", read)
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
}
