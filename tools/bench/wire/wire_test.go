package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server for the test and returns its address.
func serve(t *testing.T, handle Handler) string {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, ln, handle) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func echo(r *Request) (int, []byte) {
	return 201, []byte(r.Method + " " + r.Target + " " + string(r.Signature) + " " + string(r.Body))
}

// TestClientAndServerOfHTTP: each end understands Go's other end, several
// requests on one connection.
func TestClientAndServerOfHTTP(t *testing.T) {
	t.Parallel()
	origin := "http://" + serve(t, echo)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for _, body := range []string{"one", "", strings.Repeat("x", 100_000)} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, origin+"/a?b=c", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Hub-Signature-256", "sha256=00")
		resp, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if want := "POST /a?b=c sha256=00 " + body; err != nil || resp.StatusCode != 201 || string(got) != want {
			t.Errorf("status %d, body %q, error %v; want 201 and %q", resp.StatusCode, got, err, want)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, r.URL.String()+" "+r.Header.Get("Authorization")+" "+r.Header.Get("X-Hub-Signature-256")+" "+string(body))
	}))
	defer server.Close()
	c, err := Dial(t.Context(), server.Listener.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, body := range []string{"{}", ""} {
		status, got, err := c.Post("/x?y=z", "sig", "Bearer t", []byte(body))
		if want := "/x?y=z Bearer t sig " + body; err != nil || status != 202 || string(got) != want {
			t.Errorf("status %d, body %q, error %v; want 202 and %q", status, got, err, want)
		}
	}
}

// TestMalformed: what is no message is refused, and an end inside one is not
// taken for the end of the stream.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		"":                    io.EOF,
		"POST / HTTP/1.1\r\n": io.ErrUnexpectedEOF,
		"POST / HT":           io.ErrUnexpectedEOF,
		"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc":             io.ErrUnexpectedEOF,
		"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n":               ErrMalformed,
		"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n":         ErrMalformed,
		"POST / HTTP/1.1\r\nno header\r\n\r\n":                        ErrMalformed,
		"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n":       ErrMalformed,
		"POST / HTTP/1.1\r\nX: " + strings.Repeat("x", 5000) + "\r\n": ErrMalformed,
	} {
		var m message
		if err := m.read(bufio.NewReader(strings.NewReader(text))); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", text, err, want)
		}
	}
}
