package graphapi

import (
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/textproto"
	"strings"
	"sync/atomic"

	"github.com/baton-router/baton/pkg/graph"
)

// upload streams a client's file to the platform behind the fields of the call.
// One goroutine copies; it ends when the file does, or when the reader is
// closed.
type upload struct {
	contentType string
	reader      *io.PipeReader
	done        chan struct{}
	err         atomic.Pointer[error]
}

// newUpload starts the copy. close must be called.
func newUpload(c *call, fields map[string]json.RawMessage) *upload {
	reader, writer := io.Pipe()
	form := multipart.NewWriter(writer)
	u := &upload{contentType: form.FormDataContentType(), reader: reader, done: make(chan struct{})}
	go func() {
		defer close(u.done)
		err := copyUpload(form, c, fields)
		if err != nil && !errors.Is(err, io.ErrClosedPipe) { // else the platform's side ended the copy
			u.err.Store(&err)
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	return u
}

// close ends the copy and waits for it. It may be called for nil.
func (u *upload) close() {
	if u == nil {
		return
	}
	_ = u.reader.Close() // never fails
	<-u.done
}

// fault is why the client's side of the upload ended early, as a Graph error;
// nil when it did not.
func (u *upload) fault() error {
	if u == nil {
		return nil
	}
	if err := u.err.Load(); err != nil {
		return bodyError(*err)
	}
	return nil
}

func copyUpload(form *multipart.Writer, c *call, fields map[string]json.RawMessage) error {
	for _, name := range sortedFields(fields) {
		if err := form.WriteField(name, fieldText(fields[name])); err != nil {
			return err
		}
	}
	part, err := form.CreatePart(fileHeader(c.upload.File))
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, c.upload.File); err != nil {
		return err
	}
	if !c.spooled {
		if err := c.upload.Finish(); err != nil {
			return err
		}
	}
	return form.Close()
}

// fieldText is a JSON value as a form field has it.
func fieldText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

func fileHeader(f *graph.File) textproto.MIMEHeader {
	quote := strings.NewReplacer("\\", "\\\\", `"`, "\\\"", "\r", "", "\n", "").Replace
	h := textproto.MIMEHeader{}
	h.Set("Content-Disposition", `form-data; name="`+quote(f.Field)+`"; filename="`+quote(f.Name)+`"`)
	if f.ContentType != "" {
		h.Set("Content-Type", f.ContentType)
	}
	return h
}
