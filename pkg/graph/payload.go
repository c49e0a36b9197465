package graph

import (
	"bytes"
	"encoding/json"
	"strings"
)

// PostbackPayloads are the payloads of every postback button in a valid JSON
// value, at any depth, in order: templates and persistent menus.
func PostbackPayloads(raw []byte) []string {
	return payloads(raw, func(kind string) bool { return strings.EqualFold(kind, "postback") })
}

// AllPayloads are the texts of every payload in a valid JSON value, whatever
// holds it, in order: quick replies, get_started, ice breakers.
func AllPayloads(raw []byte) []string {
	return payloads(raw, func(string) bool { return true })
}

// frame is an open object or array on the way through a JSON value.
type frame struct {
	object        bool
	key           string // of the member being read; "" before a key
	kind, payload string
}

// payloads walks once through raw and collects the payload of each object whose
// type is wanted.
func payloads(raw []byte, wanted func(kind string) bool) (out []string) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	stack := []frame{{}}
	for {
		token, err := d.Token()
		if err != nil {
			return out
		}
		top := &stack[len(stack)-1]
		switch token {
		case json.Delim('{'), json.Delim('['):
			stack = append(stack, frame{object: token == json.Delim('{')})
		case json.Delim('}'), json.Delim(']'):
			if top.payload != "" && wanted(top.kind) {
				out = append(out, top.payload)
			}
			stack = stack[:len(stack)-1]
			stack[len(stack)-1].key = ""
		default:
			top.scalar(token)
		}
	}
}

// scalar takes a key, or the value of the key before it.
func (f *frame) scalar(token json.Token) {
	text, _ := token.(string)
	switch {
	case !f.object:
	case f.key == "":
		f.key = "." + text // an empty key is a key too
		return
	case f.key == ".type":
		f.kind = text
	case f.key == ".payload":
		f.payload = text
	}
	f.key = ""
}
