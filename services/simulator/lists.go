package simulator

import (
	"net/http"
	"slices"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

// entry is a persona or a label of a page.
type entry struct{ ID, Name, Picture string }

// lists are the pages' personas and labels, and who has which label. They are
// forgotten at a restart. Guarded by Service.mu.
type lists struct {
	personas, labels map[uint64][]entry
	labelled         map[control.ThreadKey][]string
}

func newLists() lists {
	return lists{personas: map[uint64][]entry{}, labels: map[uint64][]entry{}, labelled: map[control.ThreadKey][]string{}}
}

func (s *Service) createPersona(_ *http.Request, c *call) (reply, error) {
	if !c.params.has("name") {
		return reply{}, errParam("The parameter name is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{ID: s.newDigits("persona"), Name: c.params.text("name"), Picture: c.params.text("profile_picture_url")}
	s.lists.personas[c.page.ID] = append(s.lists.personas[c.page.ID], e)
	return ok(map[string]string{"id": e.ID}), nil
}

func (s *Service) readPersonas(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok(listed(c, s.lists.personas[c.page.ID], entry.persona)), nil
}

func (s *Service) createLabel(_ *http.Request, c *call) (reply, error) {
	name := c.params.text("page_label_name")
	if name == "" {
		name = c.params.text("name")
	}
	if name == "" {
		return reply{}, errParam("The parameter page_label_name is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{ID: s.newDigits("label"), Name: name}
	s.lists.labels[c.page.ID] = append(s.lists.labels[c.page.ID], e)
	return ok(map[string]string{"id": e.ID}), nil
}

// readLabels lists the page's labels, or those of a person.
func (s *Service) readLabels(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	labels := s.lists.labels[c.page.ID]
	if person, isID := control.ParseID(c.node); isID {
		has := s.lists.labelled[control.ThreadKey{Asset: c.page.ID, Person: person}]
		labels = slices.DeleteFunc(slices.Clone(labels), func(e entry) bool { return !slices.Contains(has, e.ID) })
	}
	return ok(listed(c, labels, entry.label)), nil
}

// label gives a person a label, or takes it off.
func (s *Service) label(r *http.Request, c *call) (reply, error) {
	person, isID := control.ParseID(c.params.text("user"))
	if !isID {
		return reply{}, errParam("The parameter user is required")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.ContainsFunc(s.lists.labels[c.page.ID], func(e entry) bool { return e.ID == c.node }) {
		return reply{}, errNoObject(c.node)
	}
	key := control.ThreadKey{Asset: c.page.ID, Person: person}
	has := slices.DeleteFunc(slices.Clone(s.lists.labelled[key]), func(id string) bool { return id == c.node })
	if c.params.method(r) == http.MethodPost {
		has = append(has, c.node)
	}
	s.lists.labelled[key] = has
	return ok(map[string]bool{"success": true}), nil
}

// removeNode removes a persona or a label by its own id.
func (s *Service) removeNode(_ *http.Request, c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range []map[uint64][]entry{s.lists.personas, s.lists.labels} {
		rest := slices.DeleteFunc(slices.Clone(list[c.page.ID]), func(e entry) bool { return e.ID == c.node })
		if len(rest) < len(list[c.page.ID]) {
			list[c.page.ID] = rest
			return ok(map[string]bool{"success": true}), nil
		}
	}
	return reply{}, errNoObject(c.node)
}

func (e entry) persona() map[string]any {
	return map[string]any{"id": e.ID, "name": e.Name, "profile_picture_url": e.Picture}
}

func (e entry) label() map[string]any {
	return map[string]any{"id": e.ID, "page_label_name": e.Name, "name": e.Name}
}

// listed is what follows the call's cursor, all on one page; a page without
// entries has no cursors, which is where clients stop.
func listed(c *call, entries []entry, show func(entry) map[string]any) map[string]any {
	if i := slices.IndexFunc(entries, func(e entry) bool { return e.ID == c.params.text("after") }); i >= 0 {
		entries = entries[i+1:]
	}
	data := make([]any, 0, len(entries))
	for _, e := range entries {
		data = append(data, show(e))
	}
	list := map[string]any{"data": data}
	if len(entries) > 0 {
		list["paging"] = map[string]any{"cursors": map[string]string{"before": entries[0].ID, "after": entries[len(entries)-1].ID}}
	}
	return list
}

// readOther is GET of a node that is neither a page nor a person: an entry of a
// list, a conversation or a message.
func (s *Service) readOther(c *call) (reply, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.lists.personas[c.page.ID] {
		if e.ID == c.node {
			return ok(e.persona()), nil
		}
	}
	for _, e := range s.lists.labels[c.page.ID] {
		if e.ID == c.node {
			return ok(e.label()), nil
		}
	}
	if person, isConversation := strings.CutPrefix(c.node, "t_"); isConversation {
		return s.readConversation(c, person)
	}
	for _, l := range s.transcript.lines {
		if l.Page == c.page.ID && l.Mid == c.node {
			return ok(asMessage(l)), nil
		}
	}
	return reply{}, errNoObject(c.node)
}

// readConversation is a conversation with the latest of what was said. Needs mu.
func (s *Service) readConversation(c *call, id string) (reply, error) {
	person, _ := control.ParseID(id)
	key := control.ThreadKey{Asset: c.page.ID, Person: person}
	if s.threads[key] == nil {
		return reply{}, errNoObject(c.node)
	}
	all := s.conversationOf(key, c.page)
	if strings.Contains(c.params.text("fields"), "messages") {
		var list []any
		for _, l := range slices.Backward(s.transcript.lines) {
			if l.Page == key.Asset && l.Person == key.Person && l.Mid != "" {
				list = append(list, asMessage(l))
			}
		}
		all["messages"] = dataList(list...)
	}
	return ok(all), nil
}

// asMessage is a line as a message of the Graph API.
func asMessage(l Line) map[string]any {
	return map[string]any{"id": l.Mid, "message": l.Text, "created_time": l.At.Seconds()}
}
