package conformance

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // the platform's legacy signature
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// event posts the webhook of a step and remembers how apps should see it.
func (c *run) event(ctx context.Context, s *Step) error {
	c.sequence++
	element := c.elementOf(s)
	if s.At != 0 {
		element["timestamp"] = c.kit.time.now().Add(time.Duration(s.At)).UnixMilli()
	}
	body, err := c.post(ctx, element)
	if err != nil {
		return err
	}
	c.body, c.it = body, c.seen(s, element)
	return nil
}

// seen is an event as apps see it: an echo of a send names the app that sent it
// and has that app's metadata, an inbox's short id is written out.
func (c *run) seen(s *Step, element map[string]any) any {
	m, isMessage := element["message"].(map[string]any)
	if !isMessage || s.Event != "echo" {
		return element
	}
	m = maps.Clone(m)
	switch {
	case s.Of == "send":
		m["app_id"] = json.Number(c.id(c.sent.by))
		if c.sent.metadata != "" {
			m["metadata"] = c.sent.metadata
		}
	case s.App == "XS":
		m["app_id"] = json.Number(c.id("X"))
	}
	element = maps.Clone(element)
	element["message"] = m
	return element
}

// mid is a message id that was not used before.
func (c *run) mid() string { return fmt.Sprintf("m_%d_%d", c.person, c.sequence) }

// element is an event of the person.
func (c *run) element(parts map[string]any) map[string]any {
	parts["sender"], parts["recipient"] = object("id", c.personID()), object("id", c.page.id)
	parts["timestamp"] = c.kit.time.now().UnixMilli()
	return parts
}

// elementOf is the event of a step. Source: protocol 5.
func (c *run) elementOf(s *Step) map[string]any {
	switch s.Event {
	case "message":
		m := map[string]any{"mid": c.mid(), "text": "hello"}
		if s.Text != "" {
			m["text"] = s.Text
		}
		if s.Payload != "" {
			m["quick_reply"] = object("payload", s.Payload)
		}
		if r := c.referral(s); r != nil {
			m["referral"] = r
		}
		return c.element(object("message", m))
	case "postback":
		p := map[string]any{"mid": c.mid(), "title": title(s.Payload), "payload": s.Payload}
		if r := c.referral(s); r != nil {
			p["referral"] = r
		}
		return c.element(object("postback", p))
	case "referral":
		return c.element(object("referral", c.referral(s)))
	case "echo":
		return c.echoOf(s)
	case "policy_enforcement":
		e := c.element(object(s.Event, map[string]any{"action": "warning", "reason": "spam"}))
		delete(e, "sender")
		return e
	case "pass_thread_control", "take_thread_control", "request_thread_control":
		return c.platformControl(s)
	}
	return c.element(c.plainEvent(s))
}

// referral is where a person came from; nil for nowhere.
func (c *run) referral(s *Step) any {
	r := map[string]any{"type": "OPEN_THREAD", "source": "SHORTLINK"}
	if s.Ref != "" {
		r["ref"] = s.Ref
	}
	if s.Ad != "" {
		r["source"], r["ad_id"] = "ADS", s.Ad
	}
	if s.Receiving != "" {
		r["receiving_app_id"] = json.Number(c.id(s.Receiving))
	}
	if s.Window != "" {
		r["receiving_app_control_expiration"] = s.Window
		if n := json.Number(s.Window); isWhole(n) {
			r["receiving_app_control_expiration"] = n
		}
	}
	if s.Ref == "" && s.Ad == "" {
		return nil
	}
	return r
}

func isWhole(n json.Number) bool {
	_, err := n.Int64()
	return err == nil
}

// echoOf is what the platform reports of a message of the page: of the latest
// send, or of somebody whom Baton does not know.
func (c *run) echoOf(s *Step) map[string]any {
	m := map[string]any{"mid": c.mid(), "is_echo": true, "text": "from the page"}
	if s.Of == "send" {
		m["mid"], m["text"], m["app_id"] = c.sent.mid, c.sent.text, json.Number(c.id("N"))
	}
	if s.App != "" && s.App != "none" {
		m["app_id"] = json.Number(c.id(s.App))
	}
	if s.Metadata != "" {
		m["metadata"] = s.Metadata
	}
	e := c.element(object("message", m))
	e["sender"], e["recipient"] = e["recipient"], e["sender"]
	return e
}

// platformControl is a handover between Baton's app and the inbox, or others,
// as the platform reports it.
func (c *run) platformControl(s *Step) map[string]any {
	body := map[string]any{}
	if s.Event == "request_thread_control" {
		body["requested_owner_app_id"] = c.id(s.To)
	} else {
		body["previous_owner_app_id"], body["new_owner_app_id"] = nil, c.id(s.To)
		if s.From != "" {
			body["previous_owner_app_id"] = c.id(s.From)
		}
	}
	if s.Metadata != "" {
		body["metadata"] = s.Metadata
	}
	return c.element(object(s.Event, body))
}

// plainEvent are the kinds that have nothing to vary.
func (c *run) plainEvent(s *Step) map[string]any {
	now := c.kit.time.now().UnixMilli()
	switch s.Event {
	case "optin":
		return object("optin", map[string]any{"type": "notification_messages", "payload": "offers", "notification_messages_token": c.mid()})
	case "feedback":
		questions := map[string]any{}
		for _, q := range s.Questions {
			questions[q] = map[string]any{"type": "csat", "payload": "5"}
		}
		screen := map[string]any{"screen_id": 0, "questions": questions}
		return object("messaging_feedback", object("feedback_screens", []any{screen}))
	case "reaction":
		return object("reaction", map[string]any{"mid": c.mid(), "action": "react", "reaction": "love", "emoji": "\u2764"})
	case "unreact":
		return object("reaction", map[string]any{"mid": c.mid(), "action": "unreact"})
	case "edit":
		return object("message_edit", map[string]any{"mid": c.mid(), "text": "hello, again", "num_edit": 1})
	case "unsend":
		return object("message", map[string]any{"mid": c.mid(), "is_deleted": true})
	case "read":
		return object("read", map[string]any{"watermark": now})
	case "delivery":
		return object("delivery", map[string]any{"mids": []any{c.mid()}, "watermark": now})
	case "account_linking":
		return object("account_linking", map[string]any{"status": "linked", "authorization_code": "abc"})
	case "order":
		product := map[string]any{"id": 1, "retailer_id": "r", "name": "n", "unit_price": 11, "currency": "THB", "quantity": 1}
		return object("order", map[string]any{"products": []any{product}, "note": "please"})
	case "response_feedback":
		return object("response_feedback", map[string]any{"feedback": "Good response", "mid": c.mid()})
	}
	return object("something_new", map[string]any{"mid": c.mid()})
}

// post posts an element in an envelope of its own and returns the body.
func (c *run) post(ctx context.Context, element map[string]any) ([]byte, error) {
	body, err := json.Marshal(map[string]any{
		"object": c.page.object(),
		"entry": []any{map[string]any{
			"id": c.page.id, "time": c.kit.time.now().UnixMilli(), "messaging": []any{element},
		}},
	})
	if err != nil {
		return nil, err
	}
	return body, c.postBody(ctx, body)
}

// postBody posts a webhook as the platform does: signed with the secret of the
// server's app.
func (c *run) postBody(ctx context.Context, body []byte) error {
	target := c.kit.server.URL + c.kit.server.Webhook
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	secret := c.kit.server.Platform.AppSecret
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature", "sha1="+mac(sha1.New, secret, body))
	req.Header.Set("X-Hub-Signature-256", "sha256="+mac(sha256.New, secret, body))
	got, err := c.kit.send(req)
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("the webhook was answered %s", got)
	}
	return err
}
