package graphapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
)

// yes is a holder and a platform that accept everything.
type yes struct{}

func (yes) Ask(context.Context, int, *commandv1.Request, time.Duration) (*commandv1.Response, error) {
	return &commandv1.Response{Status: commandv1.Status_STATUS_OK, Epoch: 1, Position: 9, Thread: &commandv1.Thread{}}, nil
}

func (yes) Pass(context.Context, platform.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"result":"success"}`))}, nil
}

func (yes) CloseIdleConnections() {}

func (yes) Change(context.Context, func(roster.Document) (roster.Document, bool, error)) (uint64, error) {
	return 2, nil
}

func (yes) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.EOF }

func (yes) SendMessage(context.Context, platform.Message) (platform.Answer, error) {
	return platform.Answer{Mid: "m_1", RecipientID: "1", Body: []byte(`{"recipient_id":"1","message_id":"m_1"}`)}, nil
}

// FuzzRequests: whatever comes in, the answer is JSON, and never a fault of the
// service's own.
func FuzzRequests(f *testing.F) {
	c, err := roster.Load(roster.Source{Data: []byte(testRoster)})
	if err != nil {
		f.Fatal(err)
	}
	d, _ := roster.FromConfig(c, roster.Document{})
	snapshot, err := roster.Compile(d, 1)
	if err != nil {
		f.Fatal(err)
	}
	config := Default(partitions)
	config.AnswerWithin, config.RequestBytes, config.UploadBytes = time.Second, 1<<16, 1<<16
	s, err := New(config, Deps{
		Roster: func() *roster.Snapshot { return snapshot }, Holder: yes{}, Platform: yes{}, Rosters: yes{}, Callbacks: func(*roster.Application) Transport { return yes{} }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, edge := range []string{"messages", "pass_thread_control", "thread_owner", "", "messenger_profile", "subscribed_apps", "conversations", "personas", "message_attachments"} {
		f.Add("POST", "/v25.0/me/"+edge, "access_token=TA", "application/json", `{"recipient":{"id":"9001"},"message":{"text":"x"},"target_app_id":700000000000002}`)
		f.Add("POST", "/me/"+edge, "", "application/x-www-form-urlencoded", `access_token=TA&recipient={id:5}&sender_action=typing_on&method=GET`)
		f.Add("POST", "/me/"+edge, "access_token=TA&recipient=5", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\n{\"text\":\"x\"}\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\n\r\nx\r\n--b--")
	}
	f.Add("GET", "/v25.0/me", "access_token=TA&fields=messaging_feature_status,name", "", "")
	f.Add("GET", "/m_abc", "access_token=TA&fields=id", "", "")
	f.Add("GET", "/debug_token", "access_token=700000000000001|s1&input_token=TB", "", "")
	f.Add("DELETE", "/700000000000001/subscriptions", "access_token=700000000000001|s1&object=page&fields=messages", "", "")
	f.Add("POST", "/app/subscriptions", "access_token=700000000000001|s1&object=page&fields=messages&callback_url=https://x.test&verify_token=v", "", "")
	f.Add("POST", "/me/custom_user_settings", "access_token=TA&psid=1&persistent_menu=[{\"locale\":\"default\",\"composer_input_disabled\":true}]", "", "")
	f.Add("POST", "/", "access_token=TA", "application/json", `{"batch":[{"method":"POST","relative_url":"me/messages","body":"recipient={\"id\":\"1\"}&message={\"text\":\"x\"}"}]}`)
	f.Fuzz(func(t *testing.T, method, path, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Method, r.URL = method, &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) || w.Code >= 500 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func BenchmarkTake(b *testing.B) {
	c, err := roster.Load(roster.Source{Data: []byte(testRoster)})
	if err != nil {
		b.Fatal(err)
	}
	d, _ := roster.FromConfig(c, roster.Document{})
	snapshot, err := roster.Compile(d, 1)
	if err != nil {
		b.Fatal(err)
	}
	s, err := New(Default(partitions), Deps{
		Roster: func() *roster.Snapshot { return snapshot }, Holder: yes{}, Platform: yes{}, Rosters: yes{}, Callbacks: func(*roster.Application) Transport { return yes{} }, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/v25.0/me/take_thread_control?access_token=TA", strings.NewReader(`{"recipient":{"id":"9001"}}`))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
