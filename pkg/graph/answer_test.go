package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/baton-router/baton/pkg/graph"
)

// The literal body of protocol 3.
func TestErrorBodyIsThePlatforms(t *testing.T) {
	t.Parallel()
	want := `{"error":{"message":"(#10) Message failed to send because another app is controlling this thread now.",` +
		`"type":"OAuthException","code":10,"error_subcode":2018300,"fbtrace_id":"AbatonTrace0001"}}`
	if diff := cmp.Diff(want, string(graph.SendNotOwner().Traced("AbatonTrace0001").Body())); diff != "" {
		t.Error(diff)
	}
}

func TestErrorDataIsAString(t *testing.T) {
	t.Parallel()
	e := graph.NotOwner().With(graph.Detail{Reason: "NOT_OWNER", Owner: "700000000000001", Since: 1, Until: 2, Next: "request_thread_control"})
	var body struct {
		Error struct {
			Data string `json:"error_data"`
		} `json:"error"`
	}
	if err := json.Unmarshal(e.Body(), &body); err != nil {
		t.Fatal(err)
	}
	want := `{"baton_reason":"NOT_OWNER","owner":"700000000000001","since":1,"until":2,"next":"request_thread_control"}`
	if diff := cmp.Diff(want, body.Error.Data); diff != "" {
		t.Error(diff)
	}
	if graph.NotOwner().ErrorData != "" {
		t.Error("With changed its receiver")
	}
}

// Texts are wire literals: clients match on them.
func TestErrorTable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		e             *graph.Error
		code, subcode int
		status        int
		message       string
	}{
		{graph.SendNotOwner(), 10, 2018300, 400, "(#10) Message failed to send because another app is controlling this thread now."},
		{graph.NotOwner(), 100, 2534037, 400, "(#100) The action is invalid since it's not the thread owner."},
		{graph.OutsideWindow(), 10, 2018278, 400, "(#10) This message is sent outside of allowed window."},
		{graph.OutsideWindow().OnInstagram(), 10, 2534022, 400, "(#10) This message is sent outside of allowed window."},
		{graph.OptedOut(), 10, 2018108, 400, "(#10) This Person Cannot Receive Messages: This person isn't receiving messages from you right now."},
		{graph.UserThread(), 10, 2018336, 400, "(#10) User Thread Impact: another app is controlling this thread now."},
		{graph.Restricted(), 10, 1893063, 400, "(#10) This account is temporarily restricted from sending messages."},
		{graph.NoPermission(), 10, 0, 400, "(#10) Application does not have permission for this action"},
		{graph.PlatformHeld(), 10, 2018321, 400, "(#10) The chat is currently controlled by Messenger in an automated question and answer flow."},
		{graph.IncorrectApp(), 100, 2018164, 400, "(#100) Incorrect App ID."},
		{graph.NoUser(), 100, 2018001, 400, "(#100) No matching user found"},
		{graph.NoUser().OnInstagram(), 100, 2534014, 400, "(#100) No matching Instagram user"},
		{graph.NotOwner().OnInstagram(), 100, 2534037, 400, "(#100) The action is invalid since it's not the thread owner."},
		{graph.NotLinked(), 100, 2534013, 400, "(#100) The page is not linked to an Instagram account"},
		{graph.UnknownPath("/x"), 2500, 0, 400, "Unknown path components: /x"},
		{graph.ActionAndMessage(), 100, 2018014, 400, "(#100) Cannot send both message and state at the same time"},
		{graph.OnlyReceivers(), 100, 2018171, 400, "(#100) Only available to Primary and Secondary Receivers."},
		{graph.ReceiversHidden(), 100, 2018234, 400, "(#100) Denying visibility of any secondary receiver to another secondary receiver other than itself."},
		{graph.MissingToken(), 190, 0, 400, "An access token is required to request this resource."},
		{graph.InvalidToken(), 190, 0, 400, "Invalid OAuth access token - Cannot parse access token"},
		{graph.RevokedToken(), 190, 460, 400, "Error validating access token: The session has been invalidated."},
		{graph.ExpiredToken(), 190, 463, 400, "Error validating access token: Session has expired."},
		{graph.WrongProof(), 100, 0, 400, "Invalid appsecret_proof provided in the API argument"},
		{graph.MissingProof(), 100, 0, 400, "API calls from the server require an appsecret_proof argument"},
		{graph.MissingPermission("Requires pages_messaging"), 200, 0, 400, "(#200) Requires pages_messaging"},
		{graph.PersonGone(), 551, 1545041, 400, "(#551) This person isn't available right now."},
		{graph.AppLimit(3), 4, 0, 400, "(#4) Application request limit reached"},
		{graph.RateLimit(3), 613, 0, 400, "(#613) Calls to this api have exceeded the rate limit."},
		{graph.Unavailable(1), 2, 0, 503, "(#2) Service temporarily unavailable"},
		{graph.OutcomeUnknown(), 2, 0, 400, "(#2) The outcome of this send is unknown"},
		{graph.Internal(), 1, 0, 503, "(#1) An unknown error occurred"},
	}
	for _, test := range tests {
		got := []any{test.e.Code, test.e.Subcode, test.e.Status, test.e.Message}
		if diff := cmp.Diff([]any{test.code, test.subcode, test.status, test.message}, got); diff != "" {
			t.Error(diff)
		}
	}
	node := graph.UnknownNode("GET", "42")
	if node.Code != 100 || node.Subcode != 33 || node.Type != "GraphMethodException" || !strings.HasPrefix(node.Message, "Unsupported get request. Object with ID '42' does not exist") {
		t.Errorf("%+v", node)
	}
	if !graph.Unavailable(1).IsTransient || graph.OutcomeUnknown().IsTransient || graph.OutcomeUnknown().ErrorData != `{"outcome":"unknown"}` {
		t.Error("code 2 says the wrong thing about a repeat")
	}
}

func TestWWWAuthenticateOnTokens(t *testing.T) {
	t.Parallel()
	want := `OAuth "Facebook Platform" "invalid_token" "Invalid OAuth access token - Cannot parse access token"`
	if got := graph.InvalidToken().WWWAuthenticate(); got != want {
		t.Error(got)
	}
	if got := graph.NotOwner().WWWAuthenticate(); got != "" {
		t.Error(got)
	}
	e := graph.Error{Code: 190, Message: "a\"b\r\né"}
	if got := e.WWWAuthenticate(); got != `OAuth "Facebook Platform" "invalid_token" "a b   "` {
		t.Error(got)
	}
}

func TestAsErrorHidesTheUnforeseen(t *testing.T) {
	t.Parallel()
	if e := graph.AsError(fmt.Errorf("call: %w", graph.NoUser())); e.Subcode != 2018001 {
		t.Errorf("%+v", e)
	}
	if e := graph.AsError(errors.New("secret")); e.Code != 1 || strings.Contains(string(e.Body()), "secret") {
		t.Errorf("%+v", e)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	list, err := graph.List([]graph.Receiver{{ID: "12345678910", Name: "faq"}}, graph.Cursors{Before: "a", After: "b"})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := graph.List[graph.Receiver](nil, graph.Cursors{})
	if err != nil {
		t.Fatal(err)
	}
	pending := []graph.PendingRequest{{AppID: "3", Since: 5, Metadata: "m"}, {AppID: "4", Since: 6}}
	for _, test := range [][2]string{
		{string(graph.Success()), `{"success":true}`},
		{string(graph.ResultSuccess()), `{"result":"success"}`},
		{string(graph.Sent{RecipientID: "1", MessageID: "m_1"}.Body()), `{"recipient_id":"1","message_id":"m_1"}`},
		{string(graph.Sent{RecipientID: "1"}.Body()), `{"recipient_id":"1"}`},
		{string(graph.Sent{MessageID: "m_1", AttachmentID: "9"}.Body()), `{"message_id":"m_1","attachment_id":"9"}`},
		{string(graph.ThreadOwner{}.Body()), `{"data":[{"thread_owner":null}]}`},
		{string(graph.ThreadOwner{Owned: true, AppID: "700000000000002", Expiration: 1790086400}.Body()), `{"data":[{"thread_owner":{"app_id":"700000000000002","expiration":1790086400}}]}`},
		{string(graph.ThreadOwner{Owned: true, Expiration: 1790086400}.Body()), `{"data":[{"thread_owner":{"expiration":1790086400}}]}`},
		{
			string(graph.ThreadOwner{Owned: true, AppID: "2", Expiration: 9, Pending: pending}.Body()),
			`{"data":[{"thread_owner":{"app_id":"2","expiration":9,"pending_requests":[{"app_id":"3","since":5,"metadata":"m"},{"app_id":"4","since":6}]}}]}`,
		},
		{string(list), `{"data":[{"id":"12345678910","name":"faq"}],"paging":{"cursors":{"before":"a","after":"b"}}}`},
		{string(empty), `{"data":[]}`},
	} {
		if test[0] != test[1] {
			t.Errorf("%s\nwant %s", test[0], test[1])
		}
	}
}

// A batch as messaging-api-messenger and the business SDK send it.
func TestBatch(t *testing.T) {
	t.Parallel()
	calls := `[{"method":"POST","relative_url":"me/pass_thread_control","body":"recipient=%7B%22id%22%3A%221%22%7D&target_app_id=263902037430900&metadata=undefined"},` +
		`{"method":"post","relative_url":"/v2.6/100200300400500/messages?access_token=OWN","body":"{\"recipient\":{\"id\":\"2\"},\"message\":{\"text\":\"hi\"}}","headers":["Idempotency-Key: k"]},` +
		`{"relative_url":"me/thread_owner?recipient=3","headers":[{"name":"A","value":"b"}]},` +
		`{"method":"POST","relative_url":"me/take_thread_control","body":{"recipient":{"id":4}}},` +
		`7,{"method":"GET"},{"method":"GET","relative_url":"a/b/c"},{"method":"POST","relative_url":"me/messages","body":"a=%zz"}]`
	for _, p := range []graph.Params{
		decode(t, "POST", "access_token=T", formType, url.Values{"batch": {calls}}.Encode()),
		body(t, `{"access_token":"T","batch":`+calls+`}`),
	} {
		b, err := graph.DecodeBatch(p, graph.Limits{})
		if err != nil || len(b.Calls) != 8 || !b.IncludeHeaders {
			t.Fatalf("%v, %+v", err, b)
		}
		pass, err := graph.DecodePass(b.Calls[0].Params)
		if err != nil || pass != (graph.Pass{Recipient: 1, Target: 263902037430900, Metadata: "undefined"}) || b.Calls[0].Path.Edge != "pass_thread_control" {
			t.Errorf("%+v, %v", pass, err)
		}
		message, err := graph.DecodeMessage(b.Calls[1].Params)
		if err != nil || message.Text != "hi" || b.Calls[1].Path.Node != "100200300400500" || b.Calls[1].Method != "POST" {
			t.Errorf("%+v, %v", message, err)
		}
		owner, err := graph.DecodeOwnerQuery(b.Calls[2].Params)
		if err != nil || owner.Recipient != 3 || b.Calls[2].Method != "GET" || b.Calls[2].Headers[0] != "A: b" {
			t.Errorf("%+v, %v", owner, err)
		}
		take, err := graph.DecodeTake(b.Calls[3].Params)
		if err != nil || take.Recipient != 4 {
			t.Errorf("%+v, %v", take, err)
		}
		if b.Calls[0].Params.Token("") != "T" || b.Calls[1].Params.Token("") != "OWN" || b.Calls[1].Headers[0] != "Idempotency-Key: k" {
			t.Error("tokens or headers are mixed up")
		}
		for _, call := range b.Calls[4:] {
			if call.Err == nil {
				t.Errorf("%+v was taken", call)
			}
		}
	}
}

func TestBatchRefuses(t *testing.T) {
	t.Parallel()
	many := "[" + strings.TrimSuffix(strings.Repeat(`{"relative_url":"me"},`, 51), ",") + "]"
	for in, want := range map[string]string{
		`{}`: "The parameter batch is required", `{"batch":{}}`: "must be an array", `{"batch":"x"}`: "must be valid JSON",
		`{"batch":` + many + `}`: "Too many requests in batch message. Maximum batch size is 50",
	} {
		if _, err := graph.DecodeBatch(body(t, in), graph.Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50s: %v", in, err)
		}
	}
	if b, err := graph.DecodeBatch(body(t, `{"batch":[],"include_headers":false}`), graph.Limits{}); err != nil || b.IncludeHeaders {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestBatchBodyMembersAreStrings(t *testing.T) {
	t.Parallel()
	replies := []graph.BatchReply{
		{Code: 200, Headers: []graph.Header{{Name: "Content-Type", Value: "application/json"}}, Body: graph.Success()},
		{Code: 400, Body: graph.NoUser().Body()},
	}
	want := `[{"code":200,"headers":[{"name":"Content-Type","value":"application/json"}],"body":"{\"success\":true}"},` +
		`{"code":400,"body":"{\"error\":{\"message\":\"(#100) No matching user found\",\"type\":\"OAuthException\",\"code\":100,\"error_subcode\":2018001,\"fbtrace_id\":\"\"}}"}]`
	if diff := cmp.Diff(want, string(graph.BatchBody(replies, true))); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(string(graph.BatchBody(replies, false)), "headers") {
		t.Error("headers although none were wanted")
	}
	if got := string(graph.BatchBody(nil, true)); got != "[]" {
		t.Error(got)
	}
}
