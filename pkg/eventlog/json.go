package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"

	logv1 "github.com/baton-router/baton/pkg/gen/baton/log/v1"
)

// EntryJSON is the stored form of an entry's event as compact JSON, for people.
func EntryJSON(e *Entry) ([]byte, error) {
	m := new(logv1.Entry)
	eventToWire(m, e.Event)
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("event as JSON: %w", err)
	}
	var data bytes.Buffer
	if err := json.Compact(&data, loose); err != nil {
		return nil, fmt.Errorf("event as JSON: %w", err)
	}
	return data.Bytes(), nil
}
