package graphapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/telemetry"
)

// attachmentsEdge is the edge, besides messages, that takes files.
const attachmentsEdge = "message_attachments"

// maxKey bounds an Idempotency-Key, in bytes.
const maxKey = 255

// read decodes a request up to its parameters. The call is returned with an
// error too, for its trace.
func (s *Service) read(w http.ResponseWriter, r *http.Request) (*call, error) {
	c := &call{
		method: r.Method, trace: telemetry.TraceOf(r.Header).ID,
		authorization: r.Header.Get("Authorization"), origin: originOf(r), idempotencyKey: r.Header.Get("Idempotency-Key"),
	}
	var err error
	if c.path, err = graph.ParsePath(r.URL.Path); err != nil {
		return c, err
	}
	if r.Method == http.MethodHead {
		c.method = http.MethodGet
	}
	if len(c.idempotencyKey) > maxKey {
		return c, graph.InvalidParameter(fmt.Sprintf("The Idempotency-Key is longer than %d bytes", maxKey))
	}
	if c.streams(r) {
		return c, s.readUpload(w, r, c)
	}
	body, err := s.readBody(w, r, c.method)
	if err != nil {
		return c, err
	}
	c.params, err = graph.DecodeParams(c.method, r.URL.Query(), r.Header.Get("Content-Type"), body, s.decodeLimits())
	c.method = c.params.Method
	if c.method == "" {
		c.method = r.Method
	}
	return c, err
}

func (s *Service) decodeLimits() graph.Limits {
	return graph.Limits{MaxBytes: int(s.config.RequestBytes)}
}

// streams reports whether the request may carry a file to be forwarded.
func (c *call) streams(r *http.Request) bool {
	if r.Method != http.MethodPost || c.path.Edge != "messages" && c.path.Edge != attachmentsEdge {
		return false
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == "multipart/form-data"
}

// smallBody is up to where the length that a request announces is believed: what
// it costs to announce is not what it costs to send.
const smallBody = 4096

func (s *Service) readBody(w http.ResponseWriter, r *http.Request, method string) ([]byte, error) {
	if method == http.MethodGet {
		return nil, nil
	}
	var body []byte
	var err error
	if n := r.ContentLength; n >= 0 && n <= min(smallBody, s.config.RequestBytes) {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, s.config.RequestBytes))
	}
	if err != nil {
		return nil, bodyError(err)
	}
	return body, nil
}

// bodyError is the Graph error of a body that cannot be read.
func bodyError(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		e := graph.InvalidParameter(fmt.Sprintf("The request is longer than %d bytes", tooLarge.Limit))
		e.Status = http.StatusRequestEntityTooLarge
		return e
	}
	return graph.InvalidParameter("The request body ended before its time")
}

// readUpload reads a multipart call up to its file.
func (s *Service) readUpload(w http.ResponseWriter, r *http.Request, c *call) error {
	if r.ContentLength > s.config.UploadBytes {
		return bodyError(&http.MaxBytesError{Limit: s.config.UploadBytes})
	}
	body := http.MaxBytesReader(w, r.Body, s.config.UploadBytes)
	m, err := graph.DecodeMultipart(r.Method, r.URL.Query(), r.Header.Get("Content-Type"), body, s.decodeLimits())
	if err != nil {
		return err
	}
	c.params, c.method = m.Params, m.Params.Method
	if m.File != nil {
		c.upload = m
	}
	return s.spool(c)
}
