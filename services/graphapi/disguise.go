package graphapi

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"strings"
)

// swap is a text of the platform's and what a client sees in its place.
type swap struct{ from, to []byte }

// disguise rewrites an answer of the platform on its way to a client: the
// page's own token becomes the client's, and the platform's address Baton's, so
// that the links of a list lead to Baton and show nothing that the client does
// not have. It holds back no more than the longest text.
type disguise struct {
	source  io.ReadCloser
	cancel  context.CancelFunc // ends the call to the platform
	swaps   []swap
	longest int
	in, out []byte
	err     error
}

// disguised wraps the body of an answer to c. Close ends the call.
func (s *Service) disguised(c *call, body io.ReadCloser, cancel context.CancelFunc) *disguise {
	d := &disguise{source: body, cancel: cancel}
	token := c.caller.Asset.AccessToken.Value()
	d.swap(token, c.token)
	d.swap(url.QueryEscape(token), url.QueryEscape(c.token))
	platform := strings.TrimSuffix(s.deps.PlatformURL, "/")
	origin := c.origin.String()
	d.swap(platform, origin)
	d.swap(strings.ReplaceAll(platform, "/", `\/`), strings.ReplaceAll(origin, "/", `\/`))
	return d
}

func (d *disguise) swap(from, to string) {
	if from != "" && from != to {
		d.swaps = append(d.swaps, swap{[]byte(from), []byte(to)})
		d.longest = max(d.longest, len(from))
	}
}

// Read implements io.Reader.
func (d *disguise) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// Close implements io.Closer.
func (d *disguise) Close() error {
	err := d.source.Close()
	d.cancel()
	return err
}

// fill reads on and rewrites all that no later byte can be part of.
func (d *disguise) fill() {
	chunk := make([]byte, 8<<10)
	n, err := d.source.Read(chunk)
	d.in, d.err, d.out = append(d.in, chunk[:n]...), err, d.out[:0]
	safe := len(d.in)
	if err == nil {
		safe = max(0, safe-d.longest+1)
	}
	at := 0
	for at < safe {
		if s := d.at(d.in[at:]); s != nil {
			d.out = append(d.out, s.to...)
			at += len(s.from)
			continue
		}
		d.out = append(d.out, d.in[at])
		at++
	}
	d.in = append(d.in[:0], d.in[at:]...)
}

// at is the swap whose text stands at the beginning, or nil.
func (d *disguise) at(text []byte) *swap {
	for i := range d.swaps {
		if s := &d.swaps[i]; text[0] == s.from[0] && bytes.HasPrefix(text, s.from) {
			return s
		}
	}
	return nil
}
