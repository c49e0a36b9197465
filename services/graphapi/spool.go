package graphapi

import (
	"fmt"
	"io"
	"os"

	"github.com/baton-router/baton/pkg/graph"
)

// maxSpools is how many uploads may be on disk at once.
const maxSpools = 16

// spool keeps the file of an upload whose fields stand behind it, as some
// clients write them, on disk until it is forwarded. The file has no name there:
// whatever ends the process, nothing stays.
func (s *Service) spool(c *call) error {
	if c.upload == nil || c.complete(c.params) {
		return nil
	}
	select {
	case s.spools <- struct{}{}:
	default:
		return graph.RateLimit(1).With(graph.Detail{
			Reason: "BUSY", Explain: "too many uploads wait whose fields stand behind the file",
		})
	}
	file, err := os.CreateTemp(s.config.SpoolDir, "baton-upload-")
	if err != nil {
		<-s.spools
		return fmt.Errorf("spool an upload: %w", err)
	}
	c.release = func() { _ = file.Close(); <-s.spools }
	_ = os.Remove(file.Name()) // the open file stays
	if _, err := io.Copy(file, c.upload.File); err != nil {
		return bodyError(err)
	}
	if err := c.upload.Finish(); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("spool an upload: %w", err)
	}
	c.upload.File.Reader, c.spooled = file, true
	c.params, c.method = c.upload.Params, c.upload.Params.Method
	return nil
}

// complete reports whether the fields in front of the file are all that is
// needed.
func (c *call) complete(p graph.Params) bool {
	return (p.Has("recipient") || c.path.Edge == attachmentsEdge) && p.Has("message") && p.Token(c.authorization) != ""
}
