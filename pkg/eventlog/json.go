package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
)

// EntryJSON is the stored form of an entry as compact JSON, for people.
func EntryJSON(e *Entry) ([]byte, error) {
	loose, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(entryToWire(e))
	if err != nil {
		return nil, fmt.Errorf("entry as JSON: %w", err)
	}
	var data bytes.Buffer
	if err := json.Compact(&data, loose); err != nil {
		return nil, fmt.Errorf("entry as JSON: %w", err)
	}
	return data.Bytes(), nil
}
