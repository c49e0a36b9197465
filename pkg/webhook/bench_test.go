package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/baton-router/baton/pkg/webhook"
)

// posts are bodies of n events, one entry each, as the platform batches them.
func posts(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"object":"page","entry":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"100200300400500","time":1790000000123,"messaging":[{"sender":{"id":"%d"},`+
			`"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"message":{"mid":"m_baton%04d",`+
			`"text":"caf\u00e9 https:\/\/ex.test\/a","quick_reply":{"payload":"COLOR_BLUE"}}}]}`, 9001234567890123+i, i)
	}
	b.WriteString("]}")
	return b.Bytes()
}

func perEvent(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
}

func BenchmarkParse(b *testing.B) {
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			data := posts(n)
			b.ReportAllocs()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, err := webhook.Parse(data, webhook.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			perEvent(b, n)
		})
	}
}

// BenchmarkEncodingJSON is what Parse is compared with: the same fields through
// encoding/json, without de-duplication keys.
func BenchmarkEncodingJSON(b *testing.B) {
	type side struct {
		ID string `json:"id"`
	}
	type wire struct {
		Object string `json:"object"`
		Entry  []struct {
			ID        string            `json:"id"`
			Time      int64             `json:"time"`
			Messaging []json.RawMessage `json:"messaging"`
		} `json:"entry"`
	}
	type element struct {
		Sender, Recipient side
		Timestamp         int64
		Message           *struct {
			Mid    string `json:"mid"`
			IsEcho bool   `json:"is_echo"`
			AppID  json.Number
		}
	}
	for _, n := range []int{1, 20} {
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			data := posts(n)
			b.ReportAllocs()
			for b.Loop() {
				var w wire
				if err := json.Unmarshal(data, &w); err != nil {
					b.Fatal(err)
				}
				for _, entry := range w.Entry {
					var e element
					if err := json.Unmarshal(entry.Messaging[0], &e); err != nil {
						b.Fatal(err)
					}
				}
			}
			perEvent(b, n)
		})
	}
}

func BenchmarkAppendElement(b *testing.B) {
	events, err := webhook.Parse(posts(1), webhook.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	raw := events.Events[0].Raw
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if dst, err = webhook.AppendElement(dst[:0], raw, webhook.Edit{DropPayload: true}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSign makes both signatures of a POST with one event and with twenty.
func BenchmarkSign(b *testing.B) {
	for _, size := range []int{600, 10_000} {
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			secret, body := []byte("0123456789abcdef0123456789abcdef"), make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = webhook.Sign256(secret, body), webhook.Sign1(secret, body)
			}
		})
	}
}

// BenchmarkElement is an element in the platform's own form, and beside it one
// that is not.
func BenchmarkElement(b *testing.B) {
	const own = `{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045,` +
		`"message":{"mid":"m_baton0001","text":"caf\u00e9 https:\/\/ex.test\/a, where is my order? please answer please answer please answer"}}`
	for name, raw := range map[string]string{"written": own, "other": " " + own} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := webhook.Element([]byte(raw)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
