package simulator_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	simv1 "github.com/baton-router/baton/pkg/gen/baton/sim/v1"
	"github.com/baton-router/baton/pkg/gen/baton/sim/v1/simv1connect"
)

func newClient(t *testing.T, w *world) simv1connect.SimServiceClient {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(w.sim.NewHandler())
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return simv1connect.NewSimServiceClient(server.Client(), server.URL)
}

func TestRPCDoesWhatTheMethodsDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newClient(t, w)
	ctx := t.Context()
	const p = "100200300400500" // the person is the default
	do := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	m, err := c.Message(ctx, connect.NewRequest(&simv1.MessageRequest{PageId: p, Text: "hello", Attachments: []*simv1.Attachment{{Type: "image", Url: "u"}}}))
	do("message", err)
	if g := w.ingress.next(); g.part("message")["mid"] != m.Msg.GetMid() {
		t.Errorf("got %s", g.body)
	}
	w.sent("hi")
	w.ingress.kinds(3)
	_, err = c.Edit(ctx, connect.NewRequest(&simv1.EditRequest{PageId: p, Text: "hello!"}))
	do("edit", err)
	_, err = c.React(ctx, connect.NewRequest(&simv1.ReactRequest{PageId: p, Reaction: "love"}))
	do("react", err)
	_, err = c.Read(ctx, connect.NewRequest(&simv1.ReadRequest{PageId: p}))
	do("read", err)
	_, err = c.Unsend(ctx, connect.NewRequest(&simv1.UnsendRequest{PageId: p}))
	do("unsend", err)
	_, err = c.Postback(ctx, connect.NewRequest(&simv1.PostbackRequest{PageId: p, Payload: "HELP"}))
	do("postback", err)
	_, err = c.Ad(ctx, connect.NewRequest(&simv1.AdRequest{PageId: p, AdId: "6001", Text: "hi"}))
	do("ad", err)
	_, err = c.Referral(ctx, connect.NewRequest(&simv1.ReferralRequest{PageId: p, Ref: "r"}))
	do("referral", err)
	_, err = c.Optin(ctx, connect.NewRequest(&simv1.OptinRequest{PageId: p, Payload: "o"}))
	do("optin", err)
	for _, action := range []simv1.InboxAction{simv1.InboxAction_INBOX_ACTION_MAIN, simv1.InboxAction_INBOX_ACTION_DONE, simv1.InboxAction_INBOX_ACTION_REPLY} {
		_, err = c.Inbox(ctx, connect.NewRequest(&simv1.InboxRequest{PageId: p, Action: action, Text: "Lena"}))
		do(action.String(), err)
	}
	want := []string{
		"message_edit", "reaction", "read", "message", "postback", "message", "referral", "optin",
		"take_thread_control", "pass_thread_control", "echo",
	}
	if d := cmp.Diff(want, w.ingress.kinds(len(want))); d != "" {
		t.Error(d)
	}
	clock, err := c.Clock(ctx, connect.NewRequest(&simv1.ClockRequest{ForwardMs: 3_600_000}))
	do("clock", err)
	if clock.Msg.GetOffsetMs() != 3_600_000 || time.Until(time.UnixMilli(clock.Msg.GetNowMs())) < 59*time.Minute {
		t.Errorf("clock %v", clock.Msg)
	}
}

func TestRPCSwitchesRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newClient(t, w)
	want := &simv1.Switches{
		EchoTwice: true, EchoLateMs: 5, FailAfterSend: true, LoseMetadata: true, OutOfOrder: true, WebhookDelayMs: 6, AnswerDelayMs: 7,
		DropDeliveries: true, DropReads: true, StrictControl: true, StrictPeople: true, Calls: 3,
		Refuse: &simv1.Refusal{Edge: "messages", Status: 503, Code: 2, Subcode: 3, Message: "no"},
	}
	set, err := c.SetSwitches(t.Context(), connect.NewRequest(&simv1.SetSwitchesRequest{Switches: want}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSwitches(t.Context(), connect.NewRequest(&simv1.GetSwitchesRequest{PageId: "100200300400500"}))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got.Msg.GetSwitches(), protocmp.Transform()) + cmp.Diff(want, set.Msg.GetSwitches(), protocmp.Transform()); d != "" {
		t.Error(d)
	}
	cleared, err := c.SetSwitches(t.Context(), connect.NewRequest(&simv1.SetSwitchesRequest{}))
	if err != nil || cleared.Msg.GetSwitches().GetEchoTwice() {
		t.Errorf("%v, %v", cleared, err)
	}
}

func TestRPCErrorsHaveTheirCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newClient(t, w)
	ctx := t.Context()
	const p = "100200300400500"
	for name, check := range map[string]struct {
		want connect.Code
		do   func() error
	}{
		"bad id": {connect.CodeInvalidArgument, func() error {
			_, err := c.Message(ctx, connect.NewRequest(&simv1.MessageRequest{PageId: "01", Text: "x"}))
			return err
		}},
		"unknown page": {connect.CodeNotFound, func() error {
			_, err := c.Message(ctx, connect.NewRequest(&simv1.MessageRequest{PageId: "1", Text: "x"}))
			return err
		}},
		"clock back": {connect.CodeInvalidArgument, func() error {
			_, err := c.Clock(ctx, connect.NewRequest(&simv1.ClockRequest{ForwardMs: -1}))
			return err
		}},
		"clock far": {connect.CodeInvalidArgument, func() error {
			_, err := c.Clock(ctx, connect.NewRequest(&simv1.ClockRequest{ForwardMs: 1 << 62}))
			return err
		}},
		"no action": {connect.CodeInvalidArgument, func() error {
			_, err := c.Inbox(ctx, connect.NewRequest(&simv1.InboxRequest{PageId: p}))
			return err
		}},
		"delay": {connect.CodeInvalidArgument, func() error {
			_, err := c.SetSwitches(ctx, connect.NewRequest(&simv1.SetSwitchesRequest{Switches: &simv1.Switches{EchoLateMs: 1 << 62}}))
			return err
		}},
		"no survey": {connect.CodeNotFound, func() error {
			_, err := c.Feedback(ctx, connect.NewRequest(&simv1.FeedbackRequest{PageId: p, Answer: "5"}))
			return err
		}},
	} {
		if err := check.do(); connect.CodeOf(err) != check.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRPCWatchFollowsTheTranscript(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newClient(t, w)
	w.writes("one")
	ctx, cancel := context.WithTimeout(t.Context(), waited)
	defer cancel()
	stream, err := c.Watch(ctx, connect.NewRequest(&simv1.WatchRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	if !stream.Receive() || stream.Msg().GetLine().GetText() != "one" {
		t.Fatalf("%v, %v", stream.Msg(), stream.Err())
	}
	w.sent("two")
	if !stream.Receive() || stream.Msg().GetLine().GetSpeaker() != simv1.Speaker_SPEAKER_PAGE {
		t.Fatalf("%v, %v", stream.Msg(), stream.Err())
	}
	lines, err := c.Transcript(ctx, connect.NewRequest(&simv1.TranscriptRequest{PageId: "100200300400500"}))
	if err != nil || len(lines.Msg.GetLines()) != 2 {
		t.Errorf("%v, %v", lines, err)
	}
	w.stop() // ends the stream
	for stream.Receive() {
	}
}
