package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// compareHeard returns what differs between what apps should have received and
// what they did, "" for nothing.
func (c *run) compareHeard(want map[string]Heard, got map[string][]delivery) string {
	letters := maps.Clone(want)
	for letter := range got {
		if _, ok := letters[letter]; !ok {
			letters[letter] = nil
		}
	}
	var lines []string
	for _, letter := range slices.Sorted(maps.Keys(letters)) {
		lines = append(lines, c.compareApp(letter, want[letter], got[letter])...)
	}
	return strings.Join(lines, "\n")
}

func (c *run) compareApp(letter string, want Heard, got []delivery) []string {
	var lines []string
	for i := range max(len(want), len(got)) {
		switch {
		case i >= len(got):
			lines = append(lines, fmt.Sprintf("%s: want %s\n   got  nothing", letter, want[i]))
		case i >= len(want):
			lines = append(lines, fmt.Sprintf("%s: want nothing more\n   got  %s", letter, got[i]))
		default:
			if d := c.compareItem(want[i], got[i]); d != "" {
				lines = append(lines, fmt.Sprintf("%s: want %s\n   got  %s\n   %s", letter, want[i], got[i], d))
			}
		}
	}
	return lines
}

func (c *run) compareItem(want Item, got delivery) string {
	channel := want.Channel
	if channel == "idle" {
		channel = "standby"
		if c.mode == idleOnMessaging {
			channel = "messaging"
		}
	}
	if channel != got.channel {
		return "channel: want " + channel + ", got " + got.channel
	}
	if len(got.faults) > 0 {
		return strings.Join(got.faults, "; ")
	}
	return differs(c.expected(want), got.element)
}

// String is a delivery on one line.
func (d delivery) String() string { return d.channel + " " + text(d.element) }

// expected is the element that an item stands for.
func (c *run) expected(item Item) any {
	switch item.What {
	case "it":
		return without(c.it, item.Bare)
	case "echo":
		return c.echo(item.App, map[string]any{"mid": c.sent.mid, "text": c.sent.text}, item.Metadata)
	case "survey":
		return c.echo(item.App, map[string]any{"mid": someText, "attachments": something}, "")
	case "roles":
		return map[string]any{
			"recipient": object("id", c.page.id), "timestamp": someNumber, "app_roles": object(c.id(item.App), []any{item.Role}),
		}
	}
	return c.handover(item)
}

func object(name string, value any) map[string]any { return map[string]any{name: value} }

// echo is the echo of a message of an app.
func (c *run) echo(by string, message map[string]any, metadata string) any {
	message["is_echo"], message["app_id"] = true, json.Number(c.id(by))
	if message["text"] == "" {
		delete(message, "text")
		message["attachments"] = something
	}
	if metadata != "" {
		message["metadata"] = metadata
	}
	return map[string]any{
		"sender": object("id", c.page.id), "recipient": object("id", c.personID()), "timestamp": someNumber, "message": message,
	}
}

// handover is a handover event. Source: protocol 5.
func (c *run) handover(item Item) any {
	name, body := "", map[string]any{}
	switch item.What {
	case "pass", "take":
		name = item.What + "_thread_control"
		body["previous_owner_app_id"], body["new_owner_app_id"] = nil, c.id(item.To)
		if item.From != "idle" {
			body["previous_owner_app_id"] = c.id(item.From)
		}
	case "request":
		name, body["requested_owner_app_id"] = "request_thread_control", c.id(item.App)
	case "metadata":
		name, body["sender_app_id"] = "pass_thread_metadata", c.id(item.App)
	}
	if item.Metadata != "" {
		body["metadata"] = item.Metadata
	}
	return map[string]any{
		"sender": object("id", c.personID()), "recipient": object("id", c.page.id), "timestamp": someNumber, name: body,
	}
}

// without is a copy of an element, without the payload of its postback when it
// is bare.
func without(element any, bare bool) any {
	e, ok := element.(map[string]any)
	if !ok || !bare {
		return element
	}
	e = maps.Clone(e)
	if p, ok := e["postback"].(map[string]any); ok {
		p = maps.Clone(p)
		delete(p, "payload")
		e["postback"] = p
	}
	return e
}

// lifetime says when control should end: so long after a step that began and
// ended on the server's clock, or unchanged.
type lifetime struct {
	until        Until
	began, ended time.Time
	unchanged    json.Number
}

// compare returns what differs of an expiration, in seconds.
func (l lifetime) compare(got any) string {
	if !l.until.set() {
		return ""
	}
	n, _ := got.(json.Number)
	seconds, err := n.Int64()
	if err != nil {
		return fmt.Sprintf("expiration: want a number, got %s", text(got))
	}
	if l.until.Unchanged {
		if n != l.unchanged {
			return fmt.Sprintf("expiration: want %s as before, got %s", l.unchanged, n)
		}
		return ""
	}
	early, late := ceil(l.began.Add(l.until.In)), ceil(l.ended.Add(l.until.In))
	if seconds < early || seconds > late {
		return fmt.Sprintf("expiration: want %s from the step on, %d to %d, got %d (%s from its beginning)",
			l.until.In, early, late, seconds, time.Unix(seconds, 0).Sub(l.began).Round(time.Second))
	}
	return ""
}

func ceil(t time.Time) int64 { return (t.UnixMilli() + 999) / 1000 }

// compareOwner asks who has control and returns what differs.
func (c *run) compareOwner(ctx context.Context, s *Step, lasts lifetime) (string, error) {
	var lines []string
	for _, reader := range c.readers(s.Owner) {
		got, err := c.request(ctx, &Step{Call: "thread_owner", By: reader})
		if err != nil {
			return "", err
		}
		if got.status != http.StatusOK {
			return fmt.Sprintf("thread_owner by %s: %s", reader, got), nil
		}
		body, err := decode(got.body)
		if err != nil {
			return "", fmt.Errorf("thread_owner by %s: %w", reader, err)
		}
		want := s.Owner
		switch {
		case want == "idle":
			want = "none"
		case reader != want && reader != c.page.lead():
			want = "hidden"
		}
		if !c.tellsOwner(want, body) {
			lines = append(lines, fmt.Sprintf("thread_owner by %s: want %s, got %s", reader, want, got))
			continue
		}
		owner := first(body)["thread_owner"]
		if d := lasts.compare(field(owner, "expiration")); d != "" {
			lines = append(lines, fmt.Sprintf("thread_owner by %s: %s", reader, d))
		}
		if d := c.comparePending(s, want, owner); d != "" {
			lines = append(lines, fmt.Sprintf("thread_owner by %s: %s", reader, d))
		}
	}
	return strings.Join(lines, "\n"), nil
}

// readers are the apps to ask who has control: the owner itself; for an inbox
// the lead, who may know, or else all.
func (c *run) readers(owner string) []string {
	connected := slices.DeleteFunc(c.page.connected(), func(l string) bool { return c.gone[l] })
	switch {
	case owner == "idle":
		return connected[:1]
	case slices.Contains(connected, owner):
		return []string{owner}
	case slices.Contains(connected, c.page.lead()):
		return []string{c.page.lead()}
	}
	return connected
}

// comparePending compares who waits for control. Only Baton tells.
func (c *run) comparePending(s *Step, told string, owner any) string {
	if s.Pending == nil || told == "hidden" || c.kit.server.Baton.Admin == "" {
		return ""
	}
	list, _ := field(owner, "pending_requests").([]any)
	got := []string{}
	for _, item := range list {
		id, _ := field(item, "app_id").(string)
		got = append(got, id)
	}
	want := []string{}
	for _, letter := range *s.Pending {
		want = append(want, c.id(letter))
	}
	if !slices.Equal(want, got) {
		return fmt.Sprintf("pending_requests: want %v, got %v", want, got)
	}
	return ""
}

// expiration is when control ends, for a step that should not change it.
func (c *run) expiration(ctx context.Context, wanted bool) (json.Number, error) {
	if !wanted {
		return "", nil
	}
	got, err := c.request(ctx, &Step{Call: "thread_owner", By: c.readers("idle")[0]})
	if err != nil {
		return "", err
	}
	body, err := decode(got.body)
	if err != nil {
		return "", err
	}
	n, _ := field(first(body)["thread_owner"], "expiration").(json.Number)
	return n, nil
}
