package graph_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/graph"
)

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json; charset=utf-8"
)

func decode(t *testing.T, method, query, contentType, body string) graph.Params {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	p, err := graph.DecodeParams(method, q, contentType, []byte(body), graph.Limits{})
	if err != nil {
		t.Fatalf("%s %q %s %q: %v", method, query, contentType, body, err)
	}
	return p
}

// form is a body with fields, and a file when one is named.
func form(t *testing.T, fields [][2]string, file string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range fields {
		if f[0] != "FILE" {
			if err := w.WriteField(f[0], f[1]); err != nil {
				t.Fatal(err)
			}
			continue
		}
		part, err := w.CreateFormFile("filedata", f[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(part, file); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

// One call in every form that clients use. Source: clients.md, request rules.
func TestDecodeParamsReadsEveryFormOfACall(t *testing.T) {
	t.Parallel()
	object := `{"id":"9001234567890123"}`
	values := url.Values{"recipient": {object}, "target_app_id": {"263902037430900"}, "metadata": {"undefined"}, "access_token": {"T"}}
	multi, body := form(t, [][2]string{{"recipient", object}, {"target_app_id", "263902037430900"}, {"metadata", "undefined"}, {"access_token", "T"}}, "")
	asJSON := `{"recipient":` + object + `,"target_app_id":263902037430900,"metadata":"undefined","access_token":"T","id":"x","options":{}}`
	tests := []struct{ name, query, contentType, body string }{
		{"json", "", jsonType, asJSON},
		{"json, strings", "", "application/json", strings.Replace(asJSON, "263902037430900", `"263902037430900"`, 1)},
		{"json without content type", "", "", asJSON},
		{"json as text", "", "text/plain;charset=UTF-8", asJSON},
		{"json, token in the query", "access_token=T", "application/json", strings.Replace(asJSON, `"access_token":"T",`, "", 1)},
		{"json, object as text", "", "application/json", strings.Replace(asJSON, object, `"{\"id\":\"9001234567890123\"}"`, 1)},
		{"json, relaxed object as text", "", "application/json", strings.Replace(asJSON, object, `"{'id':9001234567890123}"`, 1)},
		{"form", "", formType, values.Encode()},
		{"form without content type", "", "", values.Encode()},
		{"form, relaxed object", "", formType, "access_token=T&metadata=undefined&target_app_id=263902037430900&recipient=%7Bid%3A9001234567890123%7D"},
		{"query only", values.Encode(), "", ""},
		{"query, empty json", values.Encode(), "application/json", ""},
		{"multipart", "", multi, body},
		{"body before query", "metadata=query&access_token=Q", formType, values.Encode()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := decode(t, "POST", test.query, test.contentType, test.body)
			got, err := graph.DecodePass(p)
			want := graph.Pass{Recipient: 9001234567890123, Target: 263902037430900, Metadata: "undefined"}
			if diff := cmp.Diff(want, got); diff != "" || err != nil || p.Token("") != "T" {
				t.Errorf("%v, token %q\n%s", err, p.Token(""), diff)
			}
		})
	}
}

func TestDecodeParamsIgnoresTheBodyOfAGet(t *testing.T) {
	t.Parallel()
	p := decode(t, "get", "recipient=9001234567890123&fields=id,name", jsonType, "{}garbage")
	q, err := graph.DecodeOwnerQuery(p)
	if err != nil || q.Recipient != 9001234567890123 || p.Method != "GET" {
		t.Errorf("%+v, %v, %s", q, err, p.Method)
	}
}

func TestMethodOverrideCountsInAPostOnly(t *testing.T) {
	t.Parallel()
	if p := decode(t, "POST", "", formType, "method=delete&psid=1"); p.Method != "DELETE" || p.Text("psid") != "1" {
		t.Errorf("%s", p.Method)
	}
	if p := decode(t, "GET", "method=DELETE", "", ""); p.Method != "GET" {
		t.Errorf("a GET became %s", p.Method)
	}
	if p := decode(t, "POST", "method=CONNECT", "", ""); p.Method != "POST" {
		t.Errorf("a POST became %s", p.Method)
	}
}

func TestListTakesCommasSpacesAndArrays(t *testing.T) {
	t.Parallel()
	want := []string{"messages", "standby"}
	for _, query := range []string{"f=messages,standby", "f=messages%2C+standby", `f=["messages","standby"]`, "f=+messages+,,standby,"} {
		if diff := cmp.Diff(want, decode(t, "POST", query, "", "").List("f")); diff != "" {
			t.Errorf("%s\n%s", query, diff)
		}
	}
	if got := decode(t, "POST", "", jsonType, `{"f":["messages","standby"]}`).List("f"); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if got := decode(t, "POST", "", "", "").List("f"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func TestDecodeParamsRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, contentType, body, want string }{
		{"broken json", jsonType, `{"a":`, "(#100) The request body is not valid JSON"},
		{"json array", jsonType, `[1]`, "(#100) The request body must be a JSON object"},
		{"json too deep", jsonType, `{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "nested too deeply"},
		{"json not UTF-8", jsonType, "{\"a\":\"\xff\"}", "not UTF-8"},
		{"form", formType, "a=%zz", "not a valid form"},
		{"form not UTF-8", formType, "a=%ff", "not UTF-8"},
		{"content type", "application/xml", "<a/>", `Unsupported content type "application/xml"`},
		{"multipart without boundary", "multipart/form-data", "x", "no boundary"},
		{"multipart broken", "multipart/form-data; boundary=b", "--b\r\nbroken", "The multipart request is broken"},
		{"too long", formType, "a=" + strings.Repeat("x", 5<<20), "longer than"},
		{"too many", formType, manyParams(300), "More than 200 parameters"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := graph.DecodeParams("POST", nil, test.contentType, []byte(test.body), graph.Limits{})
			var e *graph.Error
			if !errors.As(err, &e) || e.Code != 100 || e.Status != 400 || !strings.Contains(e.Message, test.want) {
				t.Errorf("error = %v, want %q", err, test.want)
			}
		})
	}
}

func manyParams(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "p%d=1&", i)
	}
	return b.String()
}

func TestJSONParameterMustBeJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", "{a}", "{a:}", "{a:1", "{a:1}}", "{'a:1}", "{a:b c}", "x"} {
		p := decode(t, "POST", url.Values{"recipient": {text}}.Encode(), "", "")
		if raw, ok, err := p.JSON("recipient"); err == nil || !ok {
			t.Errorf("%q became %s", text, raw)
		}
	}
}

func TestRelaxedObjectsBecomeJSON(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{id:PSID}`:                           `{"id":"PSID"}`,
		`{'id':'PSID'}`:                       `{"id":"PSID"}`,
		` { id : 17841400000000001 } `:        `{"id":17841400000000001}`,
		`{id:0123}`:                           `{"id":"0123"}`,
		`{text:'it\'s "so"',ok:true,no:null}`: `{"text":"it's \"so\"","ok":true,"no":null}`,
		`{a:{b:[x,'y',1]},c:[]}`:              `{"a":{"b":["x","y",1]},"c":[]}`,
		`{true:1}`:                            `{"true":1}`,
		`{}`:                                  `{}`,
	} {
		p := decode(t, "POST", url.Values{"x": {in}}.Encode(), "", "")
		got, _, err := p.JSON("x")
		if err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestFormHandsOnEverythingButSecrets(t *testing.T) {
	t.Parallel()
	p := decode(t, "POST", "access_token=T&appsecret_proof=x&method=delete&a=1", jsonType, `{"b":{"c":1},"d":"e"}`)
	if got := p.Form().Encode(); got != "a=1&b=%7B%22c%22%3A1%7D&d=e" {
		t.Error(got)
	}
}

func TestMultipartLeavesTheFileToTheCaller(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("file ", 100_000)
	contentType, body := form(t, [][2]string{{"recipient", "{id:7}"}, {"FILE", "a.png"}, {"message", "{}"}}, content)
	m, err := graph.DecodeMultipart("POST", url.Values{"access_token": {"T"}}, contentType, strings.NewReader(body), graph.Limits{MaxBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	if m.File == nil || m.File.Field != "filedata" || m.File.Name != "a.png" || !m.Params.Has("recipient") || m.Params.Has("message") {
		t.Fatalf("%+v", m)
	}
	got, err := io.ReadAll(m.File)
	if err != nil || string(got) != content {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := m.Finish(); err != nil || m.Params.Text("message") != "{}" || m.Params.Token("") != "T" {
		t.Errorf("%v, %+v", err, m.Params)
	}
}

func TestMultipartRefuses(t *testing.T) {
	t.Parallel()
	contentType, body := form(t, [][2]string{{"FILE", "a"}, {"FILE", "b"}}, "x")
	m, err := graph.DecodeMultipart("POST", nil, contentType, strings.NewReader(body), graph.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Finish(); err == nil {
		t.Error("two files were taken")
	}
	if _, err := graph.DecodeParams("POST", nil, contentType, []byte(body), graph.Limits{}); err == nil {
		t.Error("a file was taken where none may be")
	}
	contentType, body = form(t, [][2]string{{"a", strings.Repeat("x", 60)}, {"b", strings.Repeat("x", 60)}}, "")
	if _, err := graph.DecodeMultipart("POST", nil, contentType, strings.NewReader(body), graph.Limits{MaxBytes: 100}); err == nil {
		t.Error("fields beyond the limit were taken")
	}
}

func TestParsePath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want graph.Path
	}{
		{"/v2.6/me/pass_thread_control", graph.Path{Version: "v2.6", Node: "me", Edge: "pass_thread_control"}},
		{"/me/pass_thread_control", graph.Path{Node: "me", Edge: "pass_thread_control"}},
		{"/v99.10/100200300400500/messages/", graph.Path{Version: "v99.10", Node: "100200300400500", Edge: "messages"}},
		{"/100200300400500", graph.Path{Node: "100200300400500"}},
		{"/v24.0/", graph.Path{Version: "v24.0"}},
		{"/", graph.Path{}},
		{"", graph.Path{}},
		{"//me//messages", graph.Path{Node: "me", Edge: "messages"}},
		{"/v/me", graph.Path{Node: "v", Edge: "me"}},
		{"/debug_token", graph.Path{Node: "debug_token"}},
	}
	for _, test := range tests {
		got, err := graph.ParsePath(test.in)
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", test.in, err, diff)
		}
	}
	if _, err := graph.ParsePath("/v2.6/me/messages/more/x"); graph.AsError(err).Code != 2500 {
		t.Errorf("error = %v", err)
	}
	p := graph.Path{Node: "100200300400500"}
	if id, ok := p.NodeID(); !ok || id != 100200300400500 || p.IsMe() || p.IsRoot() || !(graph.Path{Node: "me"}).IsMe() {
		t.Error("the node is misread")
	}
}

func TestTokenPlacesAndProof(t *testing.T) {
	t.Parallel()
	p := decode(t, "GET", "", "", "")
	for header, want := range map[string]string{"Bearer T": "T", "bearer  T": "T", "OAuth T": "T", "Basic T": "", "": ""} {
		if got := p.Token(header); got != want {
			t.Errorf("%q: %q", header, got)
		}
	}
	if app, secret, ok := graph.SplitAppToken("700000000000001|s|t"); !ok || app != 700000000000001 || secret != "s|t" {
		t.Error(app, secret, ok)
	}
	for _, bad := range []string{"", "1|", "|s", "x|s", "123"} {
		if _, _, ok := graph.SplitAppToken(bad); ok {
			t.Errorf("%q is an app token", bad)
		}
	}
	// The vector of protocol 4.
	const secret, token = "baton-test-app-secret", "EAABatonPageToken001"
	const proof = "88303ff8af15ef60ce2fe78ba5c2180e5b2bed1bf30483c4f1f29bc1ea4f2c85"
	if graph.Proof(secret, token) != proof {
		t.Error(graph.Proof(secret, token))
	}
	given := decode(t, "GET", "appsecret_proof="+proof, "", "")
	for _, test := range []struct {
		p             graph.Params
		secret, token string
		required, ok  bool
	}{
		{given, secret, token, false, true},
		{given, secret, token, true, true},
		{given, secret, "other", false, false},
		{given, "", token, false, false},
		{p, secret, token, true, false},
		{p, secret, token, false, true},
	} {
		if err := test.p.CheckProof(test.secret, test.token, test.required); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test, err)
		}
	}
}

// TestListsElementByElement: some clients write each element of a list as a
// parameter of its own.
func TestListsElementByElement(t *testing.T) {
	t.Parallel()
	for query, want := range map[string][]string{
		"fields[0]=persistent_menu":                 {"persistent_menu"},
		"fields[1]=b&fields[0]=a&fields[10]=c":      {"a", "b", "c"},
		"fields[]=a&fields[]=b":                     {"a", "b"},
		"fields=a, b":                               {"a", "b"},
		"fields[x]=a":                               nil,
		"fields[-1]=a&fields[9999999999999999]=a&[": nil,
	} {
		if got := decode(t, "DELETE", query, "", "").List("fields"); cmp.Diff(want, append([]string(nil), got...)) != "" {
			t.Errorf("%s: %q", query, got)
		}
		if got := decode(t, "POST", "", formType, query).List("fields"); len(got) != len(want) {
			t.Errorf("form %s: %q", query, got)
		}
	}
}

func TestNamesOfPropertiesInUpperCase(t *testing.T) {
	t.Parallel()
	fields, err := graph.DecodeProfileFields(decode(t, "DELETE", "fields=GET_STARTED,Greeting", "", ""))
	if err != nil || cmp.Diff([]string{"get_started", "greeting"}, fields) != "" {
		t.Error(fields, err)
	}
	if _, err := graph.DecodeUserRemoval(decode(t, "DELETE", `psid=1&params=["PERSISTENT_MENU"]`, "", "")); err != nil {
		t.Error(err)
	}
}
