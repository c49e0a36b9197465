package graph_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"testing"
	"unicode/utf8"

	"github.com/baton-router/baton/pkg/graph"
)

// FuzzDecodeParams: no request panics, every refusal is an *Error, and what is
// understood is valid JSON and UTF-8.
func FuzzDecodeParams(f *testing.F) {
	f.Add("POST", "access_token=T", "application/json", []byte(`{"recipient":{"id":"1"},"message":{"text":"x","metadata":"m"}}`))
	f.Add("POST", "", "", []byte(`recipient={id:1}&batch=[{"relative_url":"me?x=1","body":"a=b"}]&thread_control={control_type:pass}`))
	f.Add("GET", "recipient=1&duration=2", "application/json", []byte(`{}`))
	f.Add("POST", "", "multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{'id':'1'}\r\n--b--"))
	f.Fuzz(func(t *testing.T, method, query, contentType string, body []byte) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		p, err := graph.DecodeParams(method, q, contentType, body, graph.Limits{})
		mustBeError(t, err)
		if err != nil {
			return
		}
		_, err = graph.DecodePass(p)
		mustBeError(t, err)
		_, err = graph.DecodeExtend(p)
		mustBeError(t, err)
		_, err = graph.DecodeBatch(p, graph.Limits{})
		mustBeError(t, err)
		m, err := graph.DecodeMessage(p)
		mustBeError(t, err)
		mustBeError(t, m.Check())
		if m.Message == nil {
			return
		}
		if !json.Valid(m.Message) || !utf8.ValidString(m.Text+m.Metadata) {
			t.Errorf("%q", m.Message)
		}
		rewritten, err := graph.SetMetadata(m.Message, "baton1:1-2")
		if err != nil || !json.Valid(rewritten) {
			t.Errorf("%q became %q: %v", m.Message, rewritten, err)
		}
	})
}

func mustBeError(t *testing.T, err error) {
	t.Helper()
	var e *graph.Error
	if err != nil && (!errors.As(err, &e) || !json.Valid(e.Body())) {
		t.Errorf("%T: %v", err, err)
	}
}

// FuzzRelaxed: relaxed text becomes valid JSON or an error; JSON stays itself.
func FuzzRelaxed(f *testing.F) {
	for _, s := range []string{`{id:PSID}`, `{'id':'P\'SID'}`, `{a:[{b:c},'d',1e5],"e":null}`, `{"a":1}`, `{a:"\u00e9"}`, "{\u00e9:\"\n\"}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := graph.DecodeParams("POST", url.Values{"x": {text}}, "", nil, graph.Limits{})
		if err != nil {
			return
		}
		raw, _, err := p.JSON("x")
		mustBeError(t, err)
		if err == nil && !json.Valid(raw) {
			t.Errorf("%q became %q", text, raw)
		}
		if json.Valid([]byte(text)) && err == nil && !bytes.Equal(raw, bytes.TrimSpace([]byte(text))) {
			t.Errorf("%q became %q", text, raw)
		}
	})
}

// FuzzMultipart: no body panics or reads past its bounds.
func FuzzMultipart(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nfile\r\n--b--"))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := graph.DecodeMultipart("POST", nil, "multipart/form-data; boundary=b", bytes.NewReader(body), graph.Limits{MaxBytes: 64})
		mustBeError(t, err)
		if err != nil || m.File == nil {
			return
		}
		if _, err := io.Copy(io.Discard, m.File); err == nil {
			mustBeError(t, m.Finish())
		}
	})
}
