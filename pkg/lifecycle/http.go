package lifecycle

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// ServeHTTP serves on a listener, which it owns, until ctx ends; with TLS when
// the server has a TLSConfig. Requests under way are then answered for at most
// within; what is left is cut off. It returns nil after such an end, else why
// the listener failed.
func ServeHTTP(ctx context.Context, server *http.Server, ln net.Listener, within time.Duration) error {
	served := make(chan error, 1)
	go func() {
		if server.TLSConfig != nil {
			served <- server.ServeTLS(ln, "", "")
			return
		}
		served <- server.Serve(ln)
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Requests under way are to be answered although ctx has ended.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	if server.Shutdown(bounded) != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
