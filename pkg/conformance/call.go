package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// version of the Graph API that the kit names in its paths.
const version = "v25.0"

// request makes the Graph call of a step.
func (c *run) request(ctx context.Context, s *Step) (answered, error) {
	method, edge, params := c.callOf(s)
	maps.Copy(params, s.Params)
	target := c.kit.server.URL + "/" + version + "/" + c.page.id
	if edge != "" {
		target += "/" + edge
	}
	query := url.Values{"access_token": {c.token(s.By)}}
	var body io.Reader = http.NoBody
	if method == http.MethodPost {
		raw, err := json.Marshal(params)
		if err != nil {
			return answered{}, err
		}
		body = bytes.NewReader(raw)
	} else {
		for name, value := range params {
			query.Set(name, queryText(value))
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, target+"?"+query.Encode(), body)
	if err != nil {
		return answered{}, err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	return c.kit.send(req)
}

// queryText is a value as a query writes it: texts as they are, all else as
// JSON.
func queryText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return text(v)
}

// token is what an app presents; apps that are not connected have one that no
// server knows.
func (c *run) token(letter string) string {
	if t := c.page.tokens[letter]; t != "" {
		return t
	}
	return "no-token-of-" + letter
}

// callOf is method, edge and parameters of a call.
func (c *run) callOf(s *Step) (method, edge string, params map[string]any) {
	recipient := map[string]any{"recipient": object("id", c.personID())}
	switch s.Call {
	case "pass", "take", "request", "release", "extend":
		c.target(s, recipient)
		return http.MethodPost, s.Call + "_thread_control", recipient
	case "pass_thread_metadata":
		c.target(s, recipient)
		return http.MethodPost, s.Call, recipient
	case "thread_owner":
		return http.MethodGet, s.Call, map[string]any{"recipient": c.personID()}
	case "secondary_receivers":
		return http.MethodGet, s.Call, map[string]any{"fields": "id,name"}
	case "is_owner":
		platform := "messenger"
		if c.page.object() == "instagram" {
			platform = "instagram"
		}
		return http.MethodGet, "conversations", map[string]any{"user_id": c.personID(), "platform": platform, "fields": "is_owner"}
	case "feature_status":
		return http.MethodGet, "", map[string]any{"fields": "messaging_feature_status"}
	case "send":
		return http.MethodPost, "messages", c.message(s, recipient)
	case "user_menu":
		return c.userMenu(s)
	case "page_menu", "get_started":
		return c.pageMenu(s)
	case "subscribe":
		return http.MethodPost, "subscribed_apps", map[string]any{"subscribed_fields": fieldsWithout(c.page.settings.Without[s.By])}
	}
	return http.MethodDelete, "subscribed_apps", map[string]any{}
}

// target adds what control edges have besides the recipient.
func (c *run) target(s *Step, params map[string]any) {
	if s.To != "" {
		params["target_app_id"] = json.Number(c.id(s.To))
	}
	if s.Metadata != "" {
		params["metadata"] = s.Metadata
	}
}

// textOf is the text of a send; templates have none.
func (s *Step) textOf() string {
	switch {
	case s.Buttons != nil || s.Survey != nil:
		return ""
	case s.Text != "":
		return s.Text
	}
	return "hello from " + s.By
}

// message adds what a send has besides the recipient.
func (c *run) message(s *Step, params map[string]any) map[string]any {
	m := map[string]any{}
	switch {
	case s.Survey != nil:
		m["attachment"] = map[string]any{"type": "template", "payload": s.Survey.template()}
	case s.Buttons != nil:
		m["attachment"] = map[string]any{"type": "template", "payload": map[string]any{
			"template_type": "button", "text": "What can we do?", "buttons": items(s.Buttons),
		}}
	default:
		m["text"] = s.textOf()
	}
	if s.Metadata != "" {
		m["metadata"] = s.Metadata
	}
	if s.Action != "" {
		params["sender_action"] = s.Action
	}
	if s.Action == "" || s.Text != "" {
		params["message"], params["messaging_type"] = m, "RESPONSE"
	}
	if s.Tag != "" {
		params["messaging_type"], params["tag"] = "MESSAGE_TAG", s.Tag
	}
	if s.Hand != "" {
		params["thread_control"] = c.hand(s.Hand)
	}
	return params
}

// hand is thread_control: "pass C", "pass" or "release".
func (c *run) hand(words string) map[string]any {
	var verb, letter string
	_, _ = fmt.Sscan(words, &verb, &letter) // one word leaves the letter empty
	control := map[string]any{"control_type": verb}
	if letter != "" {
		control["app_id"] = c.id(letter)
	}
	return control
}

// template is a customer feedback template with one question.
func (s *Survey) template() map[string]any {
	return map[string]any{
		"template_type": "customer_feedback", "title": "Rate us", "subtitle": "It helps", "button_title": "Rate",
		"feedback_screens": []any{map[string]any{"questions": []any{map[string]any{
			"id": s.Question, "type": "csat", "title": "How was it?",
		}}}},
		"business_privacy": object("url", "https://example.test/privacy"), "expires_in_days": s.Days,
	}
}

// items are postback buttons or menu items with these payloads.
func items(payloads []string) []any {
	list := make([]any, 0, len(payloads))
	for _, p := range payloads {
		list = append(list, map[string]any{"type": "postback", "title": title(p), "payload": p})
	}
	return list
}

func title(payload string) string { return "tap " + payload }

func menu(payloads []string) []any {
	return []any{map[string]any{"locale": "default", "composer_input_disabled": false, "call_to_actions": items(payloads)}}
}

func (c *run) userMenu(s *Step) (method, edge string, params map[string]any) {
	edge = "custom_user_settings"
	if s.Remove {
		return http.MethodDelete, edge, map[string]any{"psid": c.personID(), "params": `["persistent_menu"]`}
	}
	return http.MethodPost, edge, map[string]any{"psid": c.personID(), "persistent_menu": menu(s.Items)}
}

func (c *run) pageMenu(s *Step) (method, edge string, params map[string]any) {
	edge = "messenger_profile"
	switch {
	case s.Call == "get_started":
		return http.MethodPost, edge, map[string]any{"get_started": object("payload", s.Payload)}
	case s.Remove:
		return http.MethodDelete, edge, map[string]any{"fields": `["persistent_menu"]`}
	}
	return http.MethodPost, edge, map[string]any{"persistent_menu": menu(s.Items)}
}
