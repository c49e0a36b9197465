package floor

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/baton-router/baton/tools/bench/wire"
)

// ServeConstant reads each request with net/http and answers it, whatever it
// is, as a change of control is answered; until ctx ends.
func ServeConstant(ctx context.Context, ln net.Listener) error {
	return serveCalls(ctx, ln, func([]byte) error { return nil })
}

// ServeAppended is ServeConstant that has appended the request's body to a file
// in dir, and synced it, before it answers. Those that come while a sync is
// under way share the next one. The file is removed.
func ServeAppended(ctx context.Context, ln net.Listener, dir string) (err error) {
	f, err := os.CreateTemp(dir, "calls-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	calls := make(chan appending, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		appendTogether(f, calls)
	}()
	err = serveCalls(ctx, ln, func(body []byte) error {
		a := appending{body, make(chan error, 1)}
		calls <- a
		return <-a.synced
	})
	close(calls)
	<-done
	return err
}

// appending is a body that is to be appended, and who waits for that.
type appending struct {
	body   []byte
	synced chan error
}

// appendTogether writes and syncs what waits, again and again, until calls is
// closed.
func appendTogether(f *os.File, calls <-chan appending) {
	for first := range calls {
		group, data := []appending{first}, first.body
		for n := len(calls); n > 0; n-- {
			a := <-calls
			group, data = append(group, a), append(data, a.body...)
		}
		_, err := f.Write(data)
		err = errors.Join(err, f.Sync())
		for _, a := range group {
			a.synced <- err
		}
	}
}

// serveCalls answers requests of which take has taken the body. It returns when
// no handler runs any more.
func serveCalls(ctx context.Context, ln net.Listener, take func(body []byte) error) error {
	answer := []byte(`{"success":true}`)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxBody))
		if err = errors.Join(err, take(body)); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		_, _ = w.Write(answer)
	})}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- server.Shutdown(context.WithoutCancel(ctx)) })
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-stopped
}
