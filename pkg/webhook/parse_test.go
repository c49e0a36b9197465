package webhook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

const (
	asset  = 100200300400500
	person = 9001234567890123
	base   = `"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":1790000000045`
	echoed = `"sender":{"id":"100200300400500"},"recipient":{"id":"9001234567890123"},"timestamp":1790000001000`
)

func body(elements ...string) []byte {
	return []byte(`{"object":"page","entry":[{"id":"100200300400500","time":1790000000123,"messaging":[` +
		strings.Join(elements, ",") + `]}]}`)
}

func parse(t *testing.T, b []byte) []webhook.Event {
	t.Helper()
	w, err := webhook.Parse(b, webhook.Limits{})
	if err != nil {
		t.Fatalf("Parse(%.300s): %v", b, err)
	}
	return w.Events
}

// event is what every element with base shares.
func event(kind control.Kind) webhook.Event {
	return webhook.Event{Asset: asset, Person: person, Kind: kind, At: 1790000000045, EntryTime: 1790000000123}
}

func with(e webhook.Event, change func(*webhook.Event)) webhook.Event {
	change(&e)
	return e
}

// sample is an element of protocol 5 with what is read from it.
type sample struct {
	name, element string
	want          webhook.Event
}

// samples are one or more of every kind.
func samples() []sample {
	echo := with(event(control.KindEcho), func(e *webhook.Event) { e.At = 1790000001000; e.Mid = "m_e1" })
	return []sample{
		{
			"text with quick reply", `{` + base + `,"message":{"mid":"m_b1","text":"Blue","quick_reply":{"payload":"COLOR_BLUE"}}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "m_b1" }),
		},
		{
			"reply", `{` + base + `,"message":{"mid":"m_b2","text":"yes","reply_to":{"mid":"m_b0","is_self_reply":false}}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "m_b2" }),
		},
		{
			"attachment", `{` + base + `,"message":{"mid":"m_b3","attachments":[{"type":"image","payload":{"url":"https:\/\/cdn.test\/1.jpg"}}]}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "m_b3" }),
		},
		{
			"message from an ad", `{` + base + `,"message":{"mid":"m_b4","text":"hi","referral":{"ref":"r1","ad_id":"6001","source":"ADS","type":"OPEN_THREAD","ads_context_data":{"ad_title":"Sale"}}}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid, e.Ref, e.Ad, e.FromAd = "m_b4", "r1", "6001", true }),
		},
		{
			"echo", `{` + echoed + `,"message":{"mid":"m_e1","is_echo":true,"app_id":700000000000002,"metadata":"dev-string","text":"Hello"}}`,
			with(echo, func(e *webhook.Event) { e.EchoApp, e.Metadata = 700000000000002, "dev-string" }),
		},
		{
			"echo with a quoted app id", `{` + echoed + `,"message":{"mid":"m_e1","is_echo":true,"app_id":"700000000000002"}}`,
			with(echo, func(e *webhook.Event) { e.EchoApp = 700000000000002 }),
		},
		{
			"echo of the inbox with 14 digits", `{` + echoed + `,"message":{"mid":"m_e1","is_echo":true,"app_id":26390203743090}}`,
			with(echo, func(e *webhook.Event) { e.EchoApp = control.PageInboxShort }),
		},
		{"echo of a human", `{` + echoed + `,"message":{"mid":"m_e1","is_echo":true,"text":"x"}}`, echo},
		{
			"postback", `{` + base + `,"postback":{"mid":"m_p1","title":"Talk","payload":"CARE_HELP","referral":{"ref":"r1","source":"SHORTLINK","type":"OPEN_THREAD"}}}`,
			with(event(control.KindPostback), func(e *webhook.Event) {
				e.Mid, e.PayloadHash, e.Ref = "m_p1", control.PayloadHash("CARE_HELP"), "r1"
			}),
		},
		{
			"link referral", `{` + base + `,"referral":{"ref":"campaign7","source":"SHORTLINK","type":"OPEN_THREAD","referer_uri":".."}}`,
			with(event(control.KindReferral), func(e *webhook.Event) { e.Ref = "campaign7" }),
		},
		{
			"ad referral with its own route", `{` + base + `,"referral":{"ad_id":6001,"source":"ADS","receiving_app_id":700000000000002,"receiving_app_control_expiration":4}}`,
			with(event(control.KindReferral), func(e *webhook.Event) {
				e.Ad, e.FromAd, e.ReceivingApp, e.HasWindow, e.ReceivingDays = "6001", true, 700000000000002, true, 4
			}),
		},
		{
			"ad referral with a bad window", `{` + base + `,"referral":{"source":"ADS","receiving_app_id":"700000000000002","receiving_app_control_expiration":31}}`,
			with(event(control.KindReferral), func(e *webhook.Event) {
				e.FromAd, e.ReceivingApp, e.HasWindow, e.ReceivingDays = true, 700000000000002, true, -1
			}),
		},
		{"optin", `{` + base + `,"optin":{"type":"notification_messages","payload":"p"}}`, event(control.KindOptin)},
		{
			"optin with user_ref", `{"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"optin":{"ref":"..","user_ref":"u"}}`,
			with(event(control.KindOptin), func(e *webhook.Event) { e.Person = 0 }),
		},
		{
			"delivery without timestamp", `{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"delivery":{"mids":["m_e1"],"watermark":1790000002000}}`,
			with(event(control.KindDelivery), func(e *webhook.Event) { e.At = 0 }),
		},
		{"read", `{` + base + `,"read":{"watermark":1790000003000}}`, event(control.KindRead)},
		{"seen", `{` + base + `,"read":{"mid":"m_e1"}}`, event(control.KindRead)},
		{"reaction", `{` + base + `,"reaction":{"reaction":"love","emoji":"\u2764\ufe0f","action":"react","mid":"m_e1"}}`, event(control.KindReaction)},
		{"edit", `{` + base + `,"message_edit":{"mid":"m_b1","text":"Blue!","num_edit":"1"}}`, event(control.KindEdit)},
		{"unsend", `{` + base + `,"message":{"mid":"m_b1","is_deleted":true}}`, event(control.KindUnsend)},
		{
			"unsupported", `{` + base + `,"message":{"mid":"m_b1","is_unsupported":true}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "m_b1" }),
		},
		{
			"survey answer", `{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"messaging_feedback":{"feedback_screens":[{"screen_id":0,"questions":{"q1":{"type":"csat","payload":"5","follow_up":{"type":"free_form","payload":"great"}}}}]}}`,
			with(event(control.KindFeedback), func(e *webhook.Event) { e.At = 0; e.Questions = []uint64{control.PayloadHash("q1")} }),
		},
		{"thumbs", `{` + base + `,"response_feedback":{"feedback":"Good response","mid":"m_e1"}}`, event(control.KindResponseFeedback)},
		{"account linking", `{` + base + `,"account_linking":{"status":"linked","authorization_code":"abc"}}`, event(control.KindAccountLinking)},
		{
			"policy", `{"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"policy_enforcement":{"action":"block","reason":".."}}`,
			with(event(control.KindPolicy), func(e *webhook.Event) { e.Person = 0 }),
		},
		{"cart", `{` + base + `,"order":{"products":[{"id":1,"unit_price":11}],"note":".."}}`, event(control.KindOrder)},
		{
			"pass", `{` + base + `,"pass_thread_control":{"previous_owner_app_id":"700000000000001","new_owner_app_id":"700000000000002","metadata":"order 42"}}`,
			with(event(control.KindPlatformPass), func(e *webhook.Event) {
				e.PreviousOwner, e.NewOwner, e.Metadata = 700000000000001, 700000000000002, "order 42"
			}),
		},
		{
			"pass from idle", `{` + base + `,"pass_thread_control":{"previous_owner_app_id":null,"new_owner_app_id":263902037430900}}`,
			with(event(control.KindPlatformPass), func(e *webhook.Event) { e.NewOwner = control.PageInbox }),
		},
		{
			"take", `{` + base + `,"take_thread_control":{"previous_owner_app_id":"1","new_owner_app_id":2}}`,
			with(event(control.KindPlatformTake), func(e *webhook.Event) { e.PreviousOwner, e.NewOwner = 1, 2 }),
		},
		{
			"request", `{` + base + `,"request_thread_control":{"requested_owner_app_id":700000000000003,"metadata":"agent ready"}}`,
			with(event(control.KindPlatformRequest), func(e *webhook.Event) { e.NewOwner, e.Metadata = 700000000000003, "agent ready" }),
		},
		{
			"roles", `{"recipient":{"id":"100200300400500"},"timestamp":1790000000045,"app_roles":{"700000000000001":["primary_receiver"]}}`,
			with(event(control.KindPlatformRoles), func(e *webhook.Event) { e.Person = 0 }),
		},
		{"unknown kind", `{` + base + `,"phone_call":{"id":7}}`, event(control.KindOther)},
		{"null is absent", `{` + base + `,"message":null,"read":{"watermark":1}}`, event(control.KindRead)},
		{
			"reaction of the page itself", `{` + echoed + `,"reaction":{"mid":"m_b1"}}`,
			with(event(control.KindReaction), func(e *webhook.Event) { e.At = 1790000001000 }),
		},
		{
			"ids as numbers beyond 2^53", `{"sender":{"id":17841400000000001},"recipient":{"id":100200300400500},"timestamp":1790000000045,"read":{}}`,
			with(event(control.KindRead), func(e *webhook.Event) { e.Person = 17841400000000001 }),
		},
		{
			"escaped keys and text", `{` + base + `,"m\u0065ssage":{"mid":"m_\u00e9\ud83d\ude00\/"}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "m_é😀/" }),
		},
		{
			"the last duplicate wins", `{` + base + `,"message":{"mid":"a","mid":"b","is_echo":true,"is_echo":false}}`,
			with(event(control.KindMessage), func(e *webhook.Event) { e.Mid = "b" }),
		},
	}
}

func TestParseReadsEveryKindOfEvent(t *testing.T) {
	t.Parallel()
	for _, test := range samples() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			events := parse(t, body(test.element))
			if len(events) != 1 {
				t.Fatalf("%d events, want 1", len(events))
			}
			if string(events[0].Raw) != test.element {
				t.Errorf("Raw = %s", events[0].Raw)
			}
			if diff := cmp.Diff(test.want, events[0], cmpopts.IgnoreFields(webhook.Event{}, "Raw", "Dedupe")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseReadsEveryEnvelope(t *testing.T) {
	t.Parallel()
	message := `{` + base + `,"message":{"mid":"m_b1","text":"hi"}}`
	t.Run("standby is treated as events", func(t *testing.T) {
		t.Parallel()
		b := []byte(`{"entry":[{"time":1790000000123,"standby":[` + message + `],"id":"100200300400500"}],"object":"instagram"}`)
		e := parse(t, b)[0]
		if e.Asset != asset || e.Person != person || e.Object != control.ObjectInstagram || e.EntryTime != 1790000000123 {
			t.Errorf("event = %+v", e)
		}
		if e.Dedupe != parse(t, body(message))[0].Dedupe {
			t.Error("one event has two keys on two channels")
		}
	})
	t.Run("dashboard test form", func(t *testing.T) {
		t.Parallel()
		value := `{"sender":{"user_ref":"u"},"recipient":{"id":"23245"},"timestamp":"1527459824","postback":{"mid":"m","payload":"P"}}`
		b := []byte(`{"object":"page","entry":[{"id":"0","time":1527459824,"changes":[{"field":"messaging_postbacks","value":` + value + `}]}]}`)
		e := parse(t, b)[0]
		if e.Kind != control.KindPostback || e.Asset != 23245 || e.Person != 0 || e.At != 1527459824000 || string(e.Raw) != value {
			t.Errorf("event = %+v", e)
		}
	})
	t.Run("other changes are kept", func(t *testing.T) {
		t.Parallel()
		change := `{"field":"inbox_labels","value":{"action":"add"}}`
		b := []byte(`{"object":"page","entry":[{"id":"100200300400500","time":1,"changes":[` + change + `]}]}`)
		e := parse(t, b)[0]
		if e.Kind != control.KindOther || e.Asset != asset || string(e.Raw) != change {
			t.Errorf("event = %+v", e)
		}
	})
	t.Run("entry without id", func(t *testing.T) {
		t.Parallel()
		b := []byte(`{"object":"page","entry":[{"messaging":[{"sender":{"id":"7"},"recipient":{"id":"8"},"messaging_feedback":{}},` +
			`{"sender":{"id":"8"},"recipient":{"id":"7"},"message":{"mid":"m","is_echo":true}}]}]}`)
		for _, e := range parse(t, b) {
			if e.Asset != 8 || e.Person != 7 {
				t.Errorf("thread = %d/%d, want 8/7", e.Asset, e.Person)
			}
		}
	})
	t.Run("order", func(t *testing.T) {
		t.Parallel()
		var entries []string
		for i := range 1000 {
			entries = append(entries, fmt.Sprintf(`{"id":"100200300400500","messaging":[{"sender":{"id":"%d"},"read":{}},{"sender":{"id":"%d"},"read":{}}]}`, 2*i+1, 2*i+2))
		}
		events := parse(t, []byte(`{"object":"page","entry":[`+strings.Join(entries, ",")+"]}"))
		if len(events) != 2000 {
			t.Fatalf("%d events", len(events))
		}
		for i, e := range events {
			if e.Person != uint64(i+1) {
				t.Fatalf("event %d is of person %d", i, e.Person)
			}
		}
	})
	t.Run("no events", func(t *testing.T) {
		t.Parallel()
		if n := len(parse(t, []byte(` {"object":"page","entry":[{"id":"1","messaging":null},{}]} `))); n != 0 {
			t.Errorf("%d events", n)
		}
	})
}

func TestParseRefusesWithPlaceAndReason(t *testing.T) {
	t.Parallel()
	element := func(e string) string { return string(body(`{`+base+`,"read":{}}`, e)) }
	deep := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	tests := []struct{ name, body, want string }{
		{"empty", ``, "JSON ends early"},
		{"truncated", `{"object":"page","entry":[{"id":"1`, "a string without end"},
		{"not an object", `[]`, "the body is not an object"},
		{"no object", `{"entry":[]}`, "no object"},
		{"no entry", `{"object":"page"}`, "no entry array"},
		{"entry no array", `{"object":"page","entry":{}}`, "no entry array"},
		{"entry no object", `{"object":"page","entry":[1]}`, "entry[0] is not an object"},
		{"two entry arrays", `{"object":"page","entry":[],"entry":[]}`, "entry occurs twice"},
		{"two messaging arrays", `{"object":"page","entry":[{"messaging":[],"messaging":[]}]}`, "entry[0].messaging occurs twice"},
		{"messaging no array", `{"object":"page","entry":[{"messaging":{}}]}`, "entry[0].messaging is not an array"},
		{"element no object", element(`"x"`), "entry[0].messaging[1] is not an object"},
		{"person by name", element(`{"sender":{"id":"bob"}}`), `entry[0].messaging[1].sender.id is not a decimal id: "bob" (offset`},
		{"person as float", element(`{"sender":{"id":1e16}}`), "entry[0].messaging[1].sender.id is not a decimal id"},
		{"negative person", element(`{"sender":{"id":-5}}`), "entry[0].messaging[1].sender.id is not a decimal id"},
		{"person beyond 64 bits", element(`{"sender":{"id":"18446744073709551616"}}`), "sender.id is not a decimal id"},
		{"recipient", element(`{"recipient":{"id":""}}`), "entry[0].messaging[1].recipient.id is not a decimal id"},
		{"entry id", `{"object":"page","entry":[{"id":"x"}]}`, "entry[0].id is not a decimal id"},
		{"entry time", `{"object":"page","entry":[{"time":"soon"}]}`, "entry[0].time is not a time"},
		{"timestamp", element(`{"timestamp":1.5}`), "entry[0].messaging[1].timestamp is not a time"},
		{"echo app", element(`{"message":{"is_echo":true,"app_id":"x"}}`), "entry[0].messaging[1].message.app_id is not a decimal id"},
		{"owner", element(`{"pass_thread_control":{"new_owner_app_id":{}}}`), "messaging[1].new_owner_app_id is not a decimal id"},
		{"too deep", `{"object":"page","entry":` + deep + `}`, "nested too deeply"},
		{"not UTF-8", "{\"object\":\"\xff\"}", "not UTF-8"},
		{"raw control character", "{\"object\":\"a\nb\"}", "a control character in a string"},
		{"trailing bytes", `{"object":"page","entry":[]}x`, "bytes after the JSON value"},
		{"single quotes", `{'object':'page'}`, "a key was expected"},
		{"trailing comma", `{"object":"page",}`, "a key was expected"},
		{"leading zero", `{"object":"page","entry":[],"x":01}`, "',' or '}' was expected"},
		{"bad escape", `{"object":"\x"}`, "a bad escape"},
		{"bad unit", `{"object":"\u12g4"}`, `a bad \u escape`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, err := webhook.Parse([]byte(test.body), webhook.Limits{})
			var parseError *webhook.ParseError
			if !errors.As(err, &parseError) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error = %v, want %q", err, test.want)
			}
			if w.Events != nil || parseError.Offset < 0 || parseError.Offset > len(test.body) {
				t.Errorf("events = %v, offset = %d", w.Events, parseError.Offset)
			}
		})
	}
}

func TestParseErrorPointsAtTheFault(t *testing.T) {
	t.Parallel()
	b := body(`{"sender":{"id":"bob"}}`)
	_, err := webhook.Parse(b, webhook.Limits{})
	var parseError *webhook.ParseError
	if !errors.As(err, &parseError) || !strings.HasPrefix(string(b[parseError.Offset:]), `"bob"`) {
		t.Errorf("error = %#v", err)
	}
}

func TestParseHoldsItsLimits(t *testing.T) {
	t.Parallel()
	two := []byte(`{"object":"page","entry":[{"messaging":[{},{}]},{}]}`)
	for _, l := range []webhook.Limits{{MaxBytes: 20}, {MaxDepth: 4}, {MaxEntries: 1}, {MaxEvents: 1}} {
		if _, err := webhook.Parse(two, l); err == nil {
			t.Errorf("%+v: no error", l)
		}
	}
	if _, err := webhook.Parse(two, webhook.Limits{MaxBytes: len(two), MaxDepth: 5, MaxEntries: 2, MaxEvents: 2}); err != nil {
		t.Error(err)
	}
}

func TestParseNamesAnUnknownObject(t *testing.T) {
	t.Parallel()
	_, err := webhook.Parse([]byte(`{"object":"user","entry":[]}`), webhook.Limits{})
	if !errors.Is(err, webhook.ErrObject) || !strings.Contains(err.Error(), `"user"`) {
		t.Errorf("error = %v", err)
	}
}

// Protocol 12.9, with its vectors.
func TestDedupeTellsEventsApart(t *testing.T) {
	t.Parallel()
	at := func(ts int, rest string) string {
		return fmt.Sprintf(`{"sender":{"id":"9001234567890123"},"recipient":{"id":"100200300400500"},"timestamp":%d,%s}`, ts, rest)
	}
	distinct := []string{
		at(1, `"reaction":{"reaction":"love","action":"react","mid":"m_e1"}`),
		at(2, `"reaction":{"action":"unreact","mid":"m_e1"}`),
		at(3, `"reaction":{"reaction":"love","action":"react","mid":"m_e1"}`),
		at(4, `"message_edit":{"mid":"m_b1","text":"a","num_edit":1}`),
		at(4, `"message_edit":{"mid":"m_b1","text":"b","num_edit":2}`),
		at(5, `"message":{"mid":"m_b1","text":"x"}`),
		at(6, `"message":{"mid":"m_b1","is_deleted":true}`),
		at(7, `"postback":{"mid":"m_b1","payload":"x"}`),
		at(8, `"message":{"mid":"m_b1","is_echo":true}`),
		at(9, `"message":{"text":"no mid"}`),
		at(10, `"message":{"text":"no mid"}`),
	}
	seen := map[[16]byte]string{}
	for _, e := range distinct {
		key := parse(t, body(e))[0].Dedupe
		if other, ok := seen[key]; ok {
			t.Errorf("%s has the key of %s", e, other)
		}
		seen[key] = e
		if again := parse(t, body(e))[0].Dedupe; again != key {
			t.Errorf("%s redelivered has another key", e)
		}
	}
	first, second := parse(t, body(distinct[5]))[0], parse(t, body(at(50, `"message":{"mid":"m_b1","text":"y"}`)))[0]
	if first.Dedupe != second.Dedupe {
		t.Error("a message is its mid, whatever the bytes")
	}
	other := parse(t, []byte(strings.ReplaceAll(string(body(distinct[5])), "100200300400500", "100200300400501")))[0]
	if other.Dedupe == first.Dedupe {
		t.Error("the key ignores the asset")
	}
}
