package simulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// profiles are the messenger_profile properties of each page. Values are never
// changed in place. Guarded by Service.mu.
type profiles map[uint64]map[string]json.RawMessage

func (p profiles) copy() map[string]map[string]json.RawMessage {
	out := make(map[string]map[string]json.RawMessage, len(p))
	for page, fields := range p {
		out[decimal(page)] = maps.Clone(fields)
	}
	return out
}

func profilesOf(saved map[string]map[string]json.RawMessage) profiles {
	p := profiles{}
	for page, fields := range saved {
		if id, isID := control.ParseID(page); isID {
			p[id] = fields
		}
	}
	return p
}

// profileFields are the properties that the platform knows. Source: protocol
// 2.3.
func profileFields() []string {
	return []string{
		"get_started", "greeting", "persistent_menu", "ice_breakers", "whitelisted_domains", "commands", "account_linking_url",
	}
}

func (s *Service) readProfile(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.profiles[c.page.ID]
	found := map[string]any{}
	for name := range strings.SplitSeq(c.params.text("fields"), ",") {
		if v, ok := stored[strings.TrimSpace(name)]; ok {
			found[strings.TrimSpace(name)] = v
		}
	}
	if len(found) == 0 {
		return ok(dataList()), nil
	}
	return ok(dataList(found)), nil
}

func (s *Service) writeProfile(_ *http.Request, c *call) (reply, error) {
	set := map[string]json.RawMessage{}
	for _, name := range profileFields() {
		if !c.params.has(name) {
			continue
		}
		raw := json.RawMessage(c.params.text(name))
		if !json.Valid(raw) {
			raw = encode(c.params.text(name)) // account_linking_url is a plain string
		}
		set[name] = raw
	}
	if len(set) == 0 {
		return reply{}, errParam("Requires one of the params: %s", strings.Join(profileFields(), ","))
	}
	if menu, ok := set["persistent_menu"]; ok {
		if _, err := menuOf(menu); err != nil {
			return reply{}, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fields := maps.Clone(s.profiles[c.page.ID])
	if fields == nil {
		fields = map[string]json.RawMessage{}
	}
	maps.Copy(fields, set)
	s.profiles[c.page.ID] = fields
	s.changed()
	return ok(map[string]string{"result": "success"}), nil
}

func (s *Service) deleteProfile(_ *http.Request, c *call) (reply, error) {
	names, err := names(c.params.text("fields"))
	if err != nil || len(names) == 0 {
		return reply{}, errParam("Param fields must be a list of properties")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	fields := maps.Clone(s.profiles[c.page.ID])
	for _, name := range names {
		delete(fields, name)
	}
	s.profiles[c.page.ID] = fields
	s.changed()
	return ok(map[string]string{"result": "success"}), nil
}

// names reads a JSON list of strings, or a list with commas.
func names(text string) ([]string, error) {
	if strings.HasPrefix(strings.TrimSpace(text), "[") {
		var list []string
		err := json.Unmarshal([]byte(text), &list)
		return list, err
	}
	var list []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			list = append(list, name)
		}
	}
	return list, nil
}

// menu is one locale of a persistent menu.
type menu struct {
	Locale string           `json:"locale"`
	Items  []templateButton `json:"call_to_actions"`
}

func menuOf(raw json.RawMessage) ([]menu, error) {
	var list []menu
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errParam("Param persistent_menu must be an array")
	}
	for _, m := range list {
		if m.Locale == "" {
			return nil, errParam("Param persistent_menu needs a locale")
		}
		if len(m.Items) > 20 {
			return nil, errParam("Param persistent_menu has at most 20 items")
		}
	}
	return list, nil
}

// menuButtons are what a person can tap beside the buttons under messages: the
// page's profile first, their own menu last. Needs mu.
func (s *Service) menuButtons(page uint64, own json.RawMessage) []button {
	stored := s.profiles[page]
	var out []button
	var started payload
	if json.Unmarshal(stored["get_started"], &started) == nil && started.Payload != "" {
		out = append(out, button{Title: "Get Started", Payload: started.Payload})
	}
	out = append(out, iceBreakers(stored["ice_breakers"])...)
	out = append(out, menuItems(stored["persistent_menu"])...)
	return append(out, menuItems(own)...)
}

func menuItems(raw json.RawMessage) []button {
	list, err := menuOf(raw)
	if err != nil {
		return nil // no menu is set
	}
	var out []button
	for _, m := range list {
		for _, item := range m.Items {
			if item.Type == "postback" {
				out = append(out, button{Title: item.Title, Payload: item.Payload})
			}
		}
	}
	return out
}

// iceBreakers reads both forms: questions by locale, and the older plain list.
func iceBreakers(raw json.RawMessage) []button {
	type breaker struct {
		Question string `json:"question"`
		Payload  string `json:"payload"`
	}
	var list []struct {
		breaker
		Actions []breaker `json:"call_to_actions"`
	}
	if json.Unmarshal(raw, &list) != nil {
		return nil // none is set
	}
	var out []button
	for _, entry := range list {
		for _, b := range append(slices.Clone(entry.Actions), entry.breaker) {
			if b.Payload != "" {
				out = append(out, button{Title: b.Question, Payload: b.Payload})
			}
		}
	}
	return out
}

func (s *Service) readUserSettings(_ *http.Request, c *call) (reply, error) {
	person, isID := control.ParseID(c.params.text("psid"))
	if !isID {
		return reply{}, c.noPerson()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]any{}
	if th := s.threads[control.ThreadKey{Asset: c.page.ID, Person: person}]; th != nil && th.facts.Menu != nil {
		found["user_level_persistent_menu"] = th.facts.Menu
	}
	if m, ok := s.profiles[c.page.ID]["persistent_menu"]; ok {
		found["page_level_persistent_menu"] = m
	}
	return ok(dataList(found)), nil
}

func (s *Service) writeUserSettings(_ *http.Request, c *call) (reply, error) {
	raw := json.RawMessage(c.params.text("persistent_menu"))
	if _, err := menuOf(raw); err != nil {
		return reply{}, err
	}
	return s.setUserMenu(c, raw)
}

func (s *Service) deleteUserSettings(_ *http.Request, c *call) (reply, error) {
	list, err := names(c.params.text("params"))
	if err != nil || !slices.Contains(list, "persistent_menu") {
		return reply{}, errParam("Param params must be [\"persistent_menu\"]")
	}
	return s.setUserMenu(c, nil)
}

func (s *Service) setUserMenu(c *call, raw json.RawMessage) (reply, error) {
	if c.page.Object == control.ObjectInstagram {
		return reply{}, errParam("custom_user_settings is not available on Instagram")
	}
	person, isID := control.ParseID(c.params.text("psid"))
	if !isID {
		return reply{}, c.noPerson()
	}
	err := s.act(control.ThreadKey{Asset: c.page.ID, Person: person}, func(t *turn) error {
		if c.stranger(t) {
			return c.noPerson()
		}
		t.facts.Menu = raw
		return nil
	})
	return ok(map[string]string{"result": "success"}), err
}
