package graphapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRequestFormsOfPublishedClients sends a pass in every form that a
// published client uses. Source: clients.md, request rules.
func TestRequestFormsOfPublishedClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const formType = "application/x-www-form-urlencoded"
	json := func(p string) string { return `{` + to(p) + `,"target_app_id":700000000000002,"metadata":"m"}` }
	form := func(p string) string {
		return url.Values{"recipient": {`{"id":"` + p + `"}`}, "target_app_id": {"700000000000002"}, "metadata": {"m"}}.Encode()
	}
	for i, c := range []struct { //nolint:paralleltest // one world, asked in turn
		name string
		make func(p string) (path, contentType, body string)
	}{
		{"JSON, id, token in the query", func(p string) (string, string, string) {
			return "/v25.0/" + acme + "/pass_thread_control?access_token=TA", "application/json", json(p)
		}},
		{"no version", func(p string) (string, string, string) {
			return "/me/pass_thread_control?access_token=TA", "application/json", json(p)
		}},
		{"old version, trailing slash", func(p string) (string, string, string) {
			return "/v2.6/me/pass_thread_control/?access_token=TA", "application/json; charset=utf-8", json(p)
		}},
		{"token in the JSON body, target as text", func(p string) (string, string, string) {
			return "/v24.0/me/pass_thread_control", "application/json",
				`{"access_token":"TA",` + to(p) + `,"target_app_id":"700000000000002","id":"x","format":"json","persona_id":"1"}`
		}},
		{"form with JSON values", func(p string) (string, string, string) {
			return "/v3.0/me/pass_thread_control?access_token=TA", formType, form(p)
		}},
		{"token in the form", func(p string) (string, string, string) {
			return "/v3.0/me/pass_thread_control", formType, form(p) + "&access_token=TA"
		}},
		{"parameters in the query of a POST", func(p string) (string, string, string) {
			return "/v3.0/me/pass_thread_control?access_token=TA&" + form(p), "", ""
		}},
		{"relaxed object", func(p string) (string, string, string) {
			return "/v25.0/me/pass_thread_control?access_token=TA&target_app_id=700000000000002&recipient=" + url.QueryEscape("{id:"+p+"}"), "", ""
		}},
		{"relaxed object with single quotes", func(p string) (string, string, string) {
			return "/v25.0/me/pass_thread_control?access_token=TA", formType,
				"target_app_id=700000000000002&metadata=undefined&recipient=" + url.QueryEscape("{'id':'"+p+"'}")
		}},
		{"multipart", func(p string) (string, string, string) {
			part := func(name, value string) string {
				return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
			}
			return "/v25.0/me/pass_thread_control?access_token=TA", "multipart/form-data; boundary=b",
				part("recipient", `{"id":"`+p+`"}`) + part("target_app_id", "700000000000002") + "--b--\r\n"
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := strconv.Itoa(9000 + i)
			path, contentType, body := c.make(p)
			g := w.call(http.MethodPost, path, contentType, body)
			if g.status != 200 || g.body != `{"success":true}` {
				t.Fatalf("%d %s", g.status, g.body)
			}
			if owner := w.owner(uint64(9000 + i)); owner != 700000000000002 {
				t.Errorf("owner %d", owner)
			}
		})
	}
}

func TestBearerTokenNamesTheCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.api.URL+"/v25.0/me/take_thread_control",
		strings.NewReader(`{`+to(person)+`}`))
	r.Header.Set("Authorization", "Bearer TB")
	r.Header.Set("Content-Type", "application/json")
	w.ok(w.do(r))
	if owner := w.owner(9001234567890123); owner != 700000000000002 {
		t.Errorf("owner %d", owner)
	}
}

func TestControlEdgesMoveControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{` + to(person) + `}`
	w.ok(w.post("take_thread_control", "TA", body))                                                                  // row 47
	w.ok(w.post("take_thread_control", "TA", body))                                                                  // row 52
	w.ok(w.post("extend_thread_control", "TA", `{`+to(person)+`,"duration":"604800"}`))                              // row 64
	w.ok(w.post("extend_thread_control", "TA", body))                                                                // 12.16
	w.ok(w.post("pass_thread_metadata", "TB", `{`+to(person)+`,"target_app_id":"700000000000001","metadata":"hi"}`)) // row 92
	w.ok(w.post("request_thread_control", "TB", `{`+to(person)+`,"metadata":"ready"}`))                              // row 54
	owner := w.ok(w.get("/v25.0/me/thread_owner?access_token=TA&recipient=" + person))
	if !strings.Contains(owner.body, `"pending_requests":[{"app_id":"700000000000002"`) || !strings.Contains(owner.body, `"app_id":"700000000000001","expiration":`) {
		t.Errorf("thread_owner %s", owner.body)
	}
	w.ok(w.post("release_thread_control", "TA", body)) // row 61
	w.ok(w.post("release_thread_control", "TA", body)) // override 3
	if o := w.owner(9001234567890123); o != 0 {
		t.Errorf("owner %d", o)
	}
}

func TestRefusalsHaveTheirCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("pass_thread_control", "TA", `{`+to(person)+`,"target_app_id":700000000000002}`))
	body := `{` + to(person) + `}`
	for _, c := range []struct { //nolint:paralleltest // one world, asked in turn
		row, edge, token, body string
		code, subcode          int
		reason                 string
	}{
		{"38", "pass_thread_control", "TA", `{` + to(person) + `,"target_app_id":"700000000000001"}`, 100, 2534037, "NOT_OWNER"},
		{"39", "pass_thread_control", "TB", `{` + to(person) + `,"target_app_id":"700000000000002"}`, 100, 2018164, "PASS_TO_SELF"},
		{"40", "pass_thread_control", "TB", `{` + to(person) + `,"target_app_id":"700000000000099"}`, 100, 2018164, "UNKNOWN_TARGET"},
		{"40, malformed", "pass_thread_control", "TB", `{` + to(person) + `,"target_app_id":"x"}`, 100, 2018164, ""},
		{"42", "pass_thread_control", "TB", body, 100, 0, "TARGET_MISSING"},
		{"58", "request_thread_control", "TB", body, 100, 0, "ALREADY_OWNER"},
		{"62", "release_thread_control", "TA", body, 100, 2534037, "NOT_OWNER"},
		{"65", "extend_thread_control", "TB", `{` + to(person) + `,"duration":604801}`, 100, 0, "BAD_DURATION"},
		{"65, zero", "extend_thread_control", "TB", `{` + to(person) + `,"duration":0}`, 100, 0, "BAD_DURATION"},
		{"65, huge", "extend_thread_control", "TB", `{` + to(person) + `,"duration":9223372036854775807}`, 100, 0, "BAD_DURATION"},
		{"65, text", "extend_thread_control", "TB", `{` + to(person) + `,"duration":"x"}`, 100, 0, ""},
		{"66", "extend_thread_control", "TA", `{` + to(person) + `,"duration":60}`, 100, 2534037, "NOT_OWNER"},
		{"22", "messages", "TA", text(person), 10, 2018300, "SEND_NOT_OWNER"},
		{"29", "messages", "TA", `{` + to(person) + `,"message":{"text":"x"},"messaging_type":"MESSAGE_TAG","tag":"human_agent"}`, 200, 0, "NO_HUMAN_AGENT"},
		{"34", "messages", "TB", `{` + to(person) + `,"message":{"text":"x"},"sender_action":"typing_on"}`, 100, 2018014, ""},
		{"35", "messages", "TA", `{` + to(person) + `,"sender_action":"TYPING_ON"}`, 10, 2018300, "SEND_NOT_OWNER"},
		{"73", "messages", "TB", `{` + to(person) + `,"message":{"text":"x"},"thread_control":{"control_type":"release"}}`, 100, 0, "BAD_THREAD_CONTROL"},
		{"12.35, tester", "messages", "TC", text(person), 200, 0, "NOT_TESTER"},
		{"12.7", "take_thread_control", "TA", `{"recipient":{"id":"abc"}}`, 100, 2018001, ""},
		{"no recipient", "take_thread_control", "TA", `{}`, 100, 0, ""},
		{"long metadata", "release_thread_control", "TB", `{` + to(person) + `,"metadata":"` + strings.Repeat("m", 2001) + `"}`, 100, 0, ""},
		{"content after right", "messages", "TA", `{` + to(person) + `,"message":{}}`, 10, 2018300, "SEND_NOT_OWNER"},
		{"content", "messages", "TB", `{` + to(person) + `,"message":{}}`, 100, 0, ""},
	} {
		t.Run(c.row, func(t *testing.T) {
			g := w.post(c.edge, c.token, c.body)
			e := w.refused(g, c.code, c.subcode)
			if g.status != 400 || c.reason != "" && !strings.Contains(e.Error.Data, `"baton_reason":"`+c.reason+`"`) {
				t.Errorf("%d %s", g.status, g.body)
			}
		})
	}
	if len(w.platform.calls()) != 0 {
		t.Errorf("forwarded %v", w.platform.calls())
	}
}

func TestRefusalTellsThePrimaryWhoHasControl(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.post("pass_thread_control", "TA", `{`+to(person)+`,"target_app_id":700000000000002}`))
	e := w.refused(w.post("messages", "TA", text(person)), 10, 2018300)
	for _, want := range []string{`"owner":"700000000000002"`, `"since":`, `"until":`, `"next":"take_thread_control"`} {
		if !strings.Contains(e.Error.Data, want) {
			t.Errorf("%s lacks %s", e.Error.Data, want)
		}
	}
	if e.Error.Message != "(#10) Message failed to send because another app is controlling this thread now." {
		t.Errorf("message %s", e.Error.Message)
	}
	e = w.refused(w.post("release_thread_control", "TD2", `{}`), 190, 0)
	if e.Error.Data != "" {
		t.Errorf("data %s", e.Error.Data)
	}
}

func TestConversationRoutingRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(w.post("take_thread_control", "ZA", `{`+to(person)+`}`), 10, 0)    // row 48
	w.refused(w.post("request_thread_control", "IB", `{`+to(person)+`}`), 10, 0) // row 59
	w.refused(w.post("messages", "IB", text(person)), 10, 2018300)               // row 27
	w.ok(w.post("take_thread_control", "IB", `{`+to(person)+`}`))                // row 51
	w.refused(w.post("take_thread_control", "IA", `{"recipient":{"id":"x"}}`), 100, 2534014)
	// A bad target is refused before anything is sent (12.35).
	w.refused(w.post("messages", "IB", `{`+to(person)+`,"message":{"text":"x"},"thread_control":{"control_type":"pass","app_id":"5"}}`), 100, 2018164)
}

func TestThreadOwnerIsNeverAnEmptyList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	owner := func(token string) string {
		t.Helper()
		return w.ok(w.get("/v25.0/" + acme + "/thread_owner?recipient=" + person + "&access_token=" + token)).body
	}
	if got := owner("TA"); got != `{"data":[{"thread_owner":null}]}` {
		t.Errorf("idle: %s", got)
	}
	w.ok(w.post("take_thread_control", "TB", `{`+to(person)+`}`))
	if got := owner("TB"); !strings.HasPrefix(got, `{"data":[{"thread_owner":{"app_id":"700000000000002","expiration":`) {
		t.Errorf("owner: %s", got)
	}
	if got := owner("TA"); !strings.Contains(got, `"app_id":"700000000000002"`) {
		t.Errorf("primary: %s", got)
	}
	if got := owner("TC"); strings.Contains(got, "app_id") || !strings.Contains(got, `"expiration":1`) {
		t.Errorf("other: %s", got)
	}
}

func TestSecondaryReceivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.ok(w.get("/v25.0/me/secondary_receivers?fields=id,name&access_token=TA")).body
	for _, want := range []string{`{"id":"700000000000002","name":"agent"}`, `"263902037430900"`, `"cursors":{`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s lacks %s", all, want)
		}
	}
	if strings.Contains(all, `"700000000000001"`) || strings.Contains(all, `"next"`) {
		t.Errorf("primary or next in %s", all)
	}
	own := w.ok(w.get("/v25.0/me/secondary_receivers?access_token=TB")).body
	if !strings.HasPrefix(own, `{"data":[{"id":"700000000000002","name":"agent"}]`) {
		t.Errorf("secondary: %s", own)
	}
}

func TestBatchAnswersEachCallByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	batch := fmt.Sprintf(`[
		{"method":"POST","relative_url":"me/take_thread_control","body":"recipient=%s"},
		{"method":"POST","relative_url":"me/messages?access_token=TB","body":"recipient=%s&message=%s"},
		{"method":"GET","relative_url":"me/thread_owner?recipient=%s"},
		{"method":"POST","relative_url":"me/nonsense","body":"a=b"},
		{"method":"POST","relative_url":""},
		7]`, url.QueryEscape(`{"id":"55"}`), url.QueryEscape(`{"id":"55"}`), url.QueryEscape(`{"text":"x"}`), "56")
	for name, send := range map[string]func() got{ //nolint:paralleltest // one world, asked in turn
		"form": func() got {
			return w.call(http.MethodPost, "/v25.0/", "application/x-www-form-urlencoded",
				url.Values{"access_token": {"TA"}, "batch": {batch}, "include_headers": {"false"}}.Encode())
		},
		"JSON": func() got {
			return w.call(http.MethodPost, "/v2.6?access_token=TA", "application/json", `{"include_headers":false,"batch":`+batch+`}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := w.ok(send())
			var codes []string
			for _, part := range strings.Split(g.body, `"code":`)[1:] {
				codes = append(codes, part[:3])
			}
			if diff := cmp.Diff([]string{"200", "400", "200", "400", "400", "400"}, codes); diff != "" {
				t.Errorf("%s\n%s", diff, g.body)
			}
			if !strings.Contains(g.body, `"body":"{\"success\":true}"`) || strings.Contains(g.body, `"headers"`) {
				t.Error(g.body)
			}
		})
	}
	w.refused(w.get("/v25.0/?access_token=TA"), 100, 33)
	w.refused(w.post("", "TA", `{}`), 100, 33)
}
