package bus

import (
	"encoding/json"
	"testing"
)

// FuzzPlainAck: what is read without the JSON package is what that reads.
func FuzzPlainAck(f *testing.F) {
	for _, answer := range []string{
		`{"stream":"BATON_LOG","seq":18446744073709551615}`, `{"stream":"BATON_IN","seq":7}`, `{"stream":"BATON_IN","seq":007}`,
		`{"stream":"BATON_IN","seq":7,"duplicate":true}`, `{"stream":"BATON_IN","seq":18446744073709551616}`, `{"stream":"BATON_IN","seq":-1}`,
		`{"stream":"BATON_IN","domain":"HUB","seq":7}`, `{"error":{"code":400,"description":"no"},"stream":"BATON_IN","seq":7}`, `{"stream":"","seq":1}`,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		sequence, ok := plainAck(data)
		if !ok {
			return
		}
		var a ack
		if err := json.Unmarshal(data, &a); err != nil || a.Error != nil || a.Sequence != sequence || sequence == 0 {
			t.Fatal(err, a, sequence)
		}
	})
}
