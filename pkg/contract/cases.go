package contract

import (
	"fmt"
	"strings"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/webhook"
)

// The ids of the events. Nobody has them.
const (
	page      = "100200300400500"
	account   = "17841400000000001"
	person    = "9001234567890123"
	app       = control.AppID(700000000000001)
	otherApp  = control.AppID(700000000000002)
	timestamp = 1790000000045
)

// need says how much depends on an answer.
type need uint8

const (
	mustTake   need = iota // anything but a 2xx loses events
	shouldTake             // for what not every app gets
	mustRefuse             // a 2xx is a hole
)

// sample is one POST to be sent.
type sample struct {
	name    string
	object  control.Object
	channel control.Channel
	events  []string
	need    need
	secret  signing
	// repeat sends it once more with the same delivery id, slow sends its body
	// piece by piece.
	repeat, slow bool
	hint         string // for an answer that is not a 2xx
}

// signing is how a sample is signed.
type signing uint8

const (
	signed signing = iota
	forged         // with another secret
	unsigned
)

// event is an element of a person's thread; rest are its members beside those
// of every event.
func event(asset, rest string) string {
	return fmt.Sprintf(`{"sender":{"id":%q},"recipient":{"id":%q},"timestamp":%d,%s}`, person, asset, timestamp, rest)
}

// kinds are the events of a conversation, by name; the same on both channels,
// but for the payload of a postback.
func kinds() [][2]string {
	return [][2]string{
		{"message", `"message":{"mid":"m_test_text","text":"caf\u00e9 https:\/\/ex.test\/a"}`},
		{"attachment", `"message":{"mid":"m_test_image","attachments":[{"type":"image","payload":{"url":"https:\/\/ex.test\/a.png"}}]}`},
		{"quick reply", `"message":{"mid":"m_test_quick","text":"Yes","quick_reply":{"payload":"YES"}}`},
		{"postback", `"postback":{"mid":"m_test_postback","title":"Start","payload":"START"}`},
		{"referral", `"referral":{"ref":"summer","source":"SHORTLINK","type":"OPEN_THREAD"}`},
		{"optin", `"optin":{"ref":"summer","user_ref":"1"}`},
		{"read", `"read":{"watermark":1790000000000}`},
		{"delivery", `"delivery":{"mids":["m_test_out"],"watermark":1790000000000}`},
		{"reaction", `"reaction":{"mid":"m_test_text","action":"react","emoji":"\u2764","reaction":"love"}`},
	}
}

func echo(asset string) string {
	return fmt.Sprintf(`{"sender":{"id":%q},"recipient":{"id":%q},"timestamp":%d,"message":{"mid":"m_test_echo","is_echo":true,"app_id":%d,"metadata":"m","text":"Hello"}}`,
		asset, person, timestamp, otherApp)
}

// samples are all POSTs, in the order in which they are sent.
func samples(compat Compat) []sample {
	list := conversation()
	for _, verb := range handovers(compat) {
		list = append(list, sample{
			name: verb[0], channel: control.ChannelMessaging, events: []string{verb[1]},
			hint: "an app that ignores a handover event must still answer 200",
		})
	}
	text := event(page, kinds()[0][1])
	return append(append(list, instagram(compat)...),
		sample{name: "batch of 3", channel: control.ChannelMessaging, events: []string{text, text, echo(page)}, hint: "one POST may carry several entries"},
		sample{name: "batch of 3, standby", channel: control.ChannelStandby, events: []string{text, text, text}},
		sample{
			name: "unknown fields", channel: control.ChannelMessaging, hint: "fields are added at any time: ignore what is not known",
			events: []string{event(page, `"message":{"mid":"m_test_new","text":"x","new_field":{"a":[1,2.5,null,true]}},"another":"one"`)},
		},
		sample{
			name: "unknown kind", channel: control.ChannelMessaging, events: []string{event(page, `"kind_of_tomorrow":{"a":1}`)},
			hint: "kinds are added at any time: answer 200 to what is not known",
		},
		sample{
			name: "duplicate", channel: control.ChannelMessaging, events: []string{text}, repeat: true,
			hint: "deliveries may come again, with the same Baton-Delivery-Id: answer 200, do nothing twice",
		},
		sample{name: "slow request", channel: control.ChannelMessaging, events: []string{text}, slow: true, hint: "wait for the whole body"},
		sample{name: "wrong signature", channel: control.ChannelMessaging, events: []string{text}, secret: forged, need: mustRefuse},
		sample{name: "no signature", channel: control.ChannelMessaging, events: []string{text}, secret: unsigned, need: mustRefuse},
	)
}

// conversation are the kinds of events on both channels.
func conversation() []sample {
	var list []sample
	for _, ch := range []control.Channel{control.ChannelMessaging, control.ChannelStandby} {
		suffix, hint := "", ""
		if ch == control.ChannelStandby {
			suffix, hint = " on standby", "a copy for those who only listen: entry.standby instead of entry.messaging"
		}
		for _, k := range kinds() {
			body := k[1]
			if ch == control.ChannelStandby {
				body = strings.Replace(body, `,"payload":"START"`, "", 1)
			}
			list = append(list, sample{name: k[0] + suffix, channel: ch, events: []string{event(page, body)}, hint: hint})
		}
		list = append(list, sample{name: "echo" + suffix, channel: ch, events: []string{echo(page)}, hint: hint})
	}
	return list
}

// handovers are the events about control, by name.
func handovers(compat Compat) [][2]string {
	verbs := []struct {
		name string
		h    webhook.Handover
	}{
		{"pass_thread_control", webhook.Handover{Verb: webhook.HandoverPass, Previous: otherApp, New: app, Metadata: "why"}},
		{"take_thread_control", webhook.Handover{Verb: webhook.HandoverTake, Previous: app, New: otherApp, Metadata: "why"}},
		{"request_thread_control", webhook.Handover{Verb: webhook.HandoverRequest, Previous: app, New: otherApp, Metadata: "why"}},
		{"app_roles", webhook.Handover{Verb: webhook.HandoverRoles, New: app, Role: "primary_receiver"}},
	}
	list := make([][2]string, len(verbs))
	for i, v := range verbs {
		v.h.Asset, _ = control.ParseID(page)
		v.h.Person, _ = control.ParseID(person)
		v.h.At, v.h.NumericIDs = timestamp, compat.NumericAppIDs
		list[i] = [2]string{v.name, string(webhook.AppendHandover(nil, v.h))}
	}
	return list
}

// instagram are the forms that differ there.
func instagram(compat Compat) []sample {
	pass := strings.ReplaceAll(handovers(compat)[0][1], page, account)
	list := []sample{
		{name: "message", events: []string{event(account, `"message":{"mid":"m_test_ig","text":"hi"}`)}},
		{name: "story reply", events: []string{event(account, `"message":{"mid":"m_test_story","text":"nice","reply_to":{"story":{"id":"1","url":"https:\/\/ex.test\/s"}}}`)}},
		{name: "postback", events: []string{event(account, `"postback":{"mid":"m_test_ice","title":"Hours","payload":"HOURS"}`)}},
		{name: "seen", events: []string{event(account, `"read":{"mid":"m_test_out"}`)}},
		{name: "reaction", events: []string{event(account, `"reaction":{"mid":"m_test_ig","action":"react","reaction":"love","emoji":"\u2764"}`)}},
		{name: "pass_thread_control", events: []string{pass}},
		{name: "message on standby", events: []string{event(account, `"message":{"mid":"m_test_ig2","text":"hi"}`)}, channel: control.ChannelStandby},
	}
	for i := range list {
		list[i].name = "instagram: " + list[i].name
		list[i].object, list[i].need = control.ObjectInstagram, shouldTake
		list[i].hint = "matters once the app is connected to an Instagram account"
	}
	return list
}
