package graph

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// MaxBatch is how many calls a batch may hold.
const MaxBatch = 50

// BatchCall is one call of a batch.
type BatchCall struct {
	Method string
	Path   Path
	Params Params
	// Headers are those that the call names, as "Name: value".
	Headers []string
	// Err is an *Error when the call cannot be understood; then only Method
	// is set. The others of the batch are not touched by it.
	Err error
}

// Batch is a batch request.
type Batch struct {
	Calls []BatchCall
	// IncludeHeaders says that replies carry headers: the default.
	IncludeHeaders bool
}

type batchItem struct {
	Method      string          `json:"method"`
	RelativeURL string          `json:"relative_url"`
	Body        json.RawMessage `json:"body"`
	Headers     json.RawMessage `json:"headers"`
}

// DecodeBatch reads the batch of a request to the root. A call without a token
// of its own has that of the batch. The error is an *Error: no batch, not an
// array, or more than MaxBatch calls.
func DecodeBatch(p Params, limits Limits) (Batch, error) {
	raw, ok, err := p.JSON("batch")
	if err != nil {
		return Batch{}, err
	}
	if !ok {
		return Batch{}, MissingParameter("batch")
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return Batch{}, InvalidParameter("Param batch must be an array")
	}
	if len(items) > MaxBatch {
		return Batch{}, bareError(CodeParameter, 0, "GraphBatchException",
			fmt.Sprintf("Too many requests in batch message. Maximum batch size is %d", MaxBatch))
	}
	b := Batch{IncludeHeaders: !strings.EqualFold(p.Text("include_headers"), "false") && p.Text("include_headers") != "0"}
	for _, item := range items {
		b.Calls = append(b.Calls, decodeBatchItem(p, item, limits))
	}
	return b, nil
}

func decodeBatchItem(batch Params, raw []byte, limits Limits) BatchCall {
	var item batchItem
	if json.Unmarshal(raw, &item) != nil {
		return BatchCall{Err: InvalidParameter("A call of the batch must be an object with method and relative_url")}
	}
	call := BatchCall{Method: strings.ToUpper(item.Method), Headers: headerList(item.Headers)}
	if call.Method == "" {
		call.Method = "GET"
	}
	relative, err := url.Parse(strings.TrimLeft(item.RelativeURL, "/"))
	if err != nil || item.RelativeURL == "" {
		call.Err = InvalidParameter("Param relative_url of a call of the batch is not valid")
		return call
	}
	query, err := url.ParseQuery(relative.RawQuery)
	if err != nil {
		call.Err = InvalidParameter("The query of a call of the batch is not valid")
		return call
	}
	if call.Path, call.Err = ParsePath(relative.Path); call.Err != nil {
		return call
	}
	contentType, body := itemBody(item.Body)
	if call.Params, call.Err = DecodeParams(call.Method, query, contentType, body, limits); call.Err != nil {
		return call
	}
	call.Method = call.Params.Method
	call.inherit(batch)
	return call
}

// itemBody is a call's body: the text of a form, text that is JSON, or an
// object.
func itemBody(raw []byte) (contentType string, body []byte) {
	text, ok := stringOf(raw)
	switch {
	case !ok && (len(raw) == 0 || isNull(raw)):
		return "", nil
	case !ok:
		return "application/json", raw
	}
	return "", []byte(text) // told by its first character
}

// inherit gives the call the batch's token and proof when it has no token.
func (c *BatchCall) inherit(batch Params) {
	if c.Params.Has("access_token") {
		return
	}
	for _, name := range []string{"access_token", "appsecret_proof"} {
		if v, ok := batch.values[name]; ok {
			c.Params.values[name] = v
		}
	}
}

// headerList reads headers as a list of strings or of name and value.
func headerList(raw []byte) []string {
	var plain []string
	if len(raw) == 0 || json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var named []Header
	if json.Unmarshal(raw, &named) != nil {
		return nil
	}
	out := make([]string, 0, len(named))
	for _, h := range named {
		out = append(out, h.Name+": "+h.Value)
	}
	return out
}

// Header is a header of a batch's reply.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// BatchReply is the answer to one call of a batch.
type BatchReply struct {
	Code    int
	Headers []Header
	Body    []byte
}

type replyItem struct {
	Code    int      `json:"code"`
	Headers []Header `json:"headers,omitempty"`
	Body    string   `json:"body"`
}

// BatchBody is the body of the answer to a batch, whose status is always 200:
// an array whose body members are strings. Headers are left out unless
// includeHeaders.
func BatchBody(replies []BatchReply, includeHeaders bool) []byte {
	items := make([]replyItem, len(replies))
	for i, r := range replies {
		items[i] = replyItem{Code: r.Code, Body: string(r.Body)}
		if includeHeaders {
			items[i].Headers = r.Headers
		}
	}
	return marshal(items)
}
