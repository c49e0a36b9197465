package simulator

import (
	"net/http"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// subscriptions are the fields that Baton's app gets of each page where they
// were changed; none when it has left the page. Guarded by Service.mu.
type subscriptions map[uint64][]string

func (f subscriptions) copy() map[string][]string {
	out := make(map[string][]string, len(f))
	for page, fields := range f {
		out[decimal(page)] = fields
	}
	return out
}

func fieldsOf(saved map[string][]string) subscriptions {
	f := subscriptions{}
	for page, fields := range saved {
		if id, isID := control.ParseID(page); isID {
			f[id] = fields
		}
	}
	return f
}

// readNode is GET of a node alone: the page itself, a person's profile, or one
// of the things that readOther knows.
func (s *Service) readNode(_ *http.Request, c *call) (reply, error) {
	if c.node == "" {
		page := map[string]any{"id": decimal(c.page.ID), "name": c.page.Name}
		if strings.Contains(c.params.text("fields"), "messaging_feature_status") {
			page["messaging_feature_status"] = map[string]bool{"hop_v2": true, "msgr_multi_app": false, "ig_multi_app": false}
		}
		return ok(page), nil
	}
	person, _ := control.ParseID(c.node)
	key := control.ThreadKey{Asset: c.page.ID, Person: person}
	s.mu.Lock()
	known := s.threads[key] != nil
	s.mu.Unlock()
	if !known {
		return s.readOther(c)
	}
	first, last := s.name(key)
	all := map[string]any{
		"first_name": first, "last_name": last, "name": first + " " + last,
		"profile_pic": "https://cdn.example.test/" + c.node + ".jpg", "locale": "en_US", "timezone": 0,
	}
	return ok(choose(all, c.params.text("fields"), c.node)), nil
}

// choose keeps the fields asked for; without a wish the usual ones.
func choose(all map[string]any, wish, id string) map[string]any {
	if wish == "" {
		wish = "first_name,last_name,profile_pic"
	}
	out := map[string]any{"id": id}
	for name := range strings.SplitSeq(wish, ",") {
		if v, known := all[strings.TrimSpace(name)]; known {
			out[strings.TrimSpace(name)] = v
		}
	}
	return out
}

func (s *Service) readSubscriptions(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fields, changed := s.fields[c.page.ID]
	if !changed {
		fields = webhookFields()
	}
	if len(fields) == 0 {
		return ok(dataList()), nil
	}
	return ok(dataList(map[string]any{"id": decimal(s.config.AppID), "name": "Baton", "subscribed_fields": fields})), nil
}

// subscribe stores the fields; see webhookFields.
func (s *Service) subscribe(_ *http.Request, c *call) (reply, error) {
	list, err := names(c.params.text("subscribed_fields"))
	if err != nil || len(list) == 0 {
		return reply{}, errParam("Param subscribed_fields must be a list of fields")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fields[c.page.ID] = list
	s.changed()
	return ok(map[string]bool{"success": true}), nil
}

func (s *Service) unsubscribe(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fields[c.page.ID] = []string{}
	s.changed()
	return ok(map[string]bool{"success": true}), nil
}

// conversations lists the threads of the page, or the one with a person.
func (s *Service) conversations(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []any
	for key := range s.threads {
		wanted := c.params.text("user_id")
		if key.Asset != c.page.ID || wanted != "" && wanted != decimal(key.Person) {
			continue
		}
		list = append(list, s.conversationOf(key, c.page))
	}
	return ok(dataList(list...)), nil
}

// conversationOf is a thread as a conversation of the Graph API. Needs mu.
func (s *Service) conversationOf(key control.ThreadKey, page *Page) map[string]any {
	t := s.begin(key, page)
	return map[string]any{
		"id":       "t_" + decimal(key.Person),
		"is_owner": !t.facts.inboxOwns(t.at),
		"participants": dataList(
			map[string]string{"id": decimal(key.Person)}, map[string]string{"id": decimal(page.ID), "name": page.Name}),
	}
}

func (s *Service) uploadAttachment(_ *http.Request, c *call) (reply, error) {
	if !c.params.has("message") {
		return reply{}, errParam("The parameter message is required")
	}
	return ok(map[string]string{"attachment_id": s.digits("attachment")}), nil
}

func (s *Service) moderate(_ *http.Request, c *call) (reply, error) {
	if !c.params.has("user_ids") || !c.params.has("actions") {
		return reply{}, errParam("The parameters user_ids and actions are required")
	}
	return ok(map[string]bool{"success": true}), nil
}

func (s *Service) digits(kind string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newDigits(kind)
}
