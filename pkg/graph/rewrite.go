package graph

import (
	"bytes"
	"errors"
)

// ErrNotObject is returned by SetMetadata for anything but a JSON object.
var ErrNotObject = errors.New("graph: the message is not a JSON object")

// SetMetadata returns a copy of a message object whose metadata is the given
// text; every other byte stays as it is. A message that has metadata twice gets
// it in both places.
func SetMetadata(message []byte, metadata string) ([]byte, error) {
	if checkJSON(message, maxRewriteDepth) != nil || !isObject(bytes.TrimSpace(message)) {
		return nil, ErrNotObject
	}
	text := marshal(metadata)
	out := make([]byte, 0, len(message)+len(text)+16)
	kept := 0
	first := true
	for m := range members(message) {
		first = false
		if m.key == "metadata" {
			out = append(append(out, message[kept:m.from]...), text...)
			kept = m.to
		}
	}
	if kept > 0 {
		return append(out, message[kept:]...), nil
	}
	open := bytes.IndexByte(message, '{') + 1
	out = append(append(append(out, message[:open]...), `"metadata":`...), text...)
	if !first {
		out = append(out, ',')
	}
	return append(out, message[open:]...), nil
}

// maxRewriteDepth is generous: what was accepted must be rewritable.
const maxRewriteDepth = 1000
