package graphapi

import (
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/platform"
)

// zeros is an endless file.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// heap is the memory in use, after what can be given back was.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}

// TestALargeUploadTakesLittleMemory streams a file many times larger than what
// may stay in memory, and looks at the heap while it passes.
func TestALargeUploadTakesLittleMemory(t *testing.T) { //nolint:paralleltest // it looks at the heap of the process
	const size, bound = 96 << 20, 16 << 20
	w := newWorld(t, func(c *Config) { c.UploadBytes = size + 1<<20 })
	w.platform.server.Close()
	var received, most atomic.Uint64
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, 64<<10)
		for next := uint64(0); ; {
			n, err := r.Body.Read(buffer)
			if total := received.Add(uint64(n)); total > next {
				most.Store(max(most.Load(), heap()))
				next += 16 << 20
			}
			if err != nil {
				break
			}
		}
		_, _ = io.WriteString(rw, `{"recipient_id":"`+person+`","message_id":"m_1"}`)
	}))
	t.Cleanup(server.Close)
	client, err := platform.New(platform.Config{BaseURL: server.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.service.deps.Platform = client
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	go func() {
		_ = form.WriteField("recipient", `{"id":"`+person+`"}`)
		_ = form.WriteField("message", `{"attachment":{"type":"video","payload":{}}}`)
		part, err := form.CreateFormFile("filedata", "long.mp4")
		if err == nil {
			_, err = io.Copy(part, io.LimitReader(zeros{}, size))
		}
		_ = form.Close()
		_ = writer.CloseWithError(err)
	}()
	before := heap()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.api.URL+"/me/messages?access_token=TA", reader)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	w.ok(w.do(r))
	if received.Load() < size {
		t.Errorf("%d of %d bytes arrived", received.Load(), size)
	}
	if grown := most.Load() - min(before, most.Load()); grown > bound {
		t.Errorf("the heap grew by %d MiB for a file of %d MiB", grown>>20, size>>20)
	}
}
