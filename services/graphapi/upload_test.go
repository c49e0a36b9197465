package graphapi

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/baton-router/baton/pkg/control"
)

// form is a multipart body with fields and a file behind or before them.
func form(t *testing.T, fileFirst bool, file []byte, fields ...string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	put := func() {
		part, err := w.CreateFormFile("filedata", `a"b.png`)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(file)
	}
	if fileFirst {
		put()
	}
	for i := 0; i < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if !fileFirst {
		put()
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestUploadIsStreamedToThePlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := bytes.Repeat([]byte("0123456789"), 200_000)
	contentType, body := form(t, false, file,
		"recipient", `{"id":"`+person+`"}`, "message", `{"attachment":{"type":"image","payload":{}}}`, "access_token", "TA")
	var forwarded []byte
	var message, recipient, token string
	w.platform.answers(func(rw http.ResponseWriter, _ *http.Request) {
		raw := w.platform.calls()[0]
		_, boundary, _ := strings.Cut(raw.contentType, "boundary=")
		parts, err := multipart.NewReader(strings.NewReader(raw.raw), boundary).ReadForm(1 << 22)
		if err != nil {
			t.Error(err)
			return
		}
		message, recipient, token = parts.Value["message"][0], parts.Value["recipient"][0], strings.Join(parts.Value["access_token"], "")
		f, _ := parts.File["filedata"][0].Open()
		forwarded, _ = io.ReadAll(f)
		_, _ = io.WriteString(rw, `{"recipient_id":"1","message_id":"m_1","attachment_id":"5"}`)
	})
	g := w.ok(w.call(http.MethodPost, "/v25.0/me/messages", contentType, string(body)))
	if !strings.Contains(g.body, `"attachment_id":"5"`) || !bytes.Equal(forwarded, file) {
		t.Errorf("%s, %d bytes", g.body, len(forwarded))
	}
	if !strings.Contains(message, `"metadata":"baton1:`) || recipient != `{"id":"`+person+`"}` || token != "" {
		t.Errorf("message %s recipient %s token %s", message, recipient, token)
	}
	w.wantOutcomes(control.OutcomeConfirmed)
}

// TestUploadWithItsFieldsBehindTheFile has them as messaging-api-messenger
// writes them.
func TestUploadWithItsFieldsBehindTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, func(c *Config) { c.SpoolDir = dir })
	file := bytes.Repeat([]byte("abc"), 50_000)
	contentType, body := form(t, true, file,
		"message", `{"attachment":{"type":"image","payload":{}}}`, "recipient", `{"id":"`+person+`"}`, "access_token", "TA")
	w.ok(w.call(http.MethodPost, "/v6.0/me/messages", contentType, string(body)))
	raw := w.platform.calls()[0].raw
	if !strings.Contains(raw, string(file)) || !strings.Contains(raw, `"metadata":"baton1:`) || strings.Contains(raw, "access_token") {
		t.Errorf("%.600s", raw)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%d files stay", len(left))
	}
}

func TestUploadsThatCannotBeForwarded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.UploadBytes = 100_000 })
	fields := []string{"recipient", `{"id":"` + person + `"}`, "message", `{"attachment":{"type":"image","payload":{}}}`}
	send := func(contentType string, body io.Reader) got {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.api.URL+"/me/messages?access_token=TA", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		return w.do(r)
	}
	contentType, body := form(t, true, []byte("x"), fields[2:]...)
	w.refused(send(contentType, bytes.NewReader(body)), 100, 0) // no recipient anywhere
	contentType, body = form(t, false, make([]byte, 200_000), fields...)
	if g := send(contentType, bytes.NewReader(body)); g.status != http.StatusRequestEntityTooLarge {
		t.Errorf("announced length: %d %s", g.status, g.body)
	}
	w.wantOutcomes()
	if g := send(contentType, io.MultiReader(bytes.NewReader(body))); g.status != http.StatusRequestEntityTooLarge {
		t.Errorf("without length: %d %s", g.status, g.body)
	}
	w.wantOutcomes(control.OutcomeAbandoned)
}
