package graphapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/baton-router/baton/pkg/control"
	commandv1 "github.com/baton-router/baton/pkg/gen/baton/command/v1"
	"github.com/baton-router/baton/pkg/graph"
	"github.com/baton-router/baton/pkg/platform"
)

// setUserMenu is POST custom_user_settings: rows 90 and 91.
func (s *Service) setUserMenu(ctx context.Context, c *call) (reply, error) {
	if err := userMenus(c); err != nil {
		return reply{}, err
	}
	u, err := graph.DecodeUserMenu(c.params)
	if err != nil {
		return reply{}, err
	}
	return s.changeUserMenu(ctx, c, u, map[string]json.RawMessage{"persistent_menu": u.Menu})
}

// clearUserMenu is DELETE custom_user_settings, by the rules of setting (12.21).
func (s *Service) clearUserMenu(ctx context.Context, c *call) (reply, error) {
	if err := userMenus(c); err != nil {
		return reply{}, err
	}
	u, err := graph.DecodeUserRemoval(c.params)
	if err != nil {
		return reply{}, err
	}
	return s.changeUserMenu(ctx, c, u, map[string]json.RawMessage{"params": json.RawMessage(`["persistent_menu"]`)})
}

// readUserMenu is GET custom_user_settings: the platform's answer.
func (s *Service) readUserMenu(ctx context.Context, c *call) (reply, error) {
	if err := userMenus(c); err != nil {
		return reply{}, err
	}
	u, err := graph.DecodeUserQuestion(c.params)
	if err != nil {
		return reply{}, err
	}
	if err := s.countUserMenu(c, u.Person); err != nil {
		return reply{}, err
	}
	query := url.Values{"psid": {strconv.FormatUint(u.Person, 10)}}
	return s.relay(ctx, c, platform.Request{Method: http.MethodGet, Path: c.relayPath(), Query: query})
}

// changeUserMenu asks the holder whether the app may, makes the change on the
// platform, and tells the holder, one call for a person at a time.
func (s *Service) changeUserMenu(ctx context.Context, c *call, u graph.UserSettings, params map[string]json.RawMessage) (reply, error) {
	leave, err := s.turn(ctx, c, lane{thread: control.ThreadKey{Asset: c.caller.Asset.ID, Person: u.Person}})
	if err != nil {
		return reply{}, err
	}
	defer leave()
	menu := &commandv1.SetUserMenu{Items: hashes(u.Payloads), CheckOnly: true}
	if err := s.askUserMenu(ctx, c, u.Person, menu); err != nil {
		return reply{}, err
	}
	if err := s.countUserMenu(c, u.Person); err != nil {
		return reply{}, err
	}
	params["psid"], _ = json.Marshal(strconv.FormatUint(u.Person, 10)) // a string: cannot fail
	answer, done, err := s.write(ctx, c, c.method, params)
	if err != nil || !done {
		return answer, err
	}
	menu = &commandv1.SetUserMenu{Items: menu.GetItems()}
	return answer, s.askUserMenu(context.WithoutCancel(ctx), c, u.Person, menu)
}

// askUserMenu puts the menu to the holder. It is not remembered under an
// Idempotency-Key: to set the same menu again changes nothing.
func (s *Service) askUserMenu(ctx context.Context, c *call, person uint64, menu *commandv1.SetUserMenu) error {
	q := c.question(person)
	q.IdempotencyKey = nil
	q.Verb = &commandv1.Request_SetUserMenu{SetUserMenu: menu}
	answer, err := s.ask(ctx, q, s.config.AnswerWithin)
	if err != nil {
		return unanswered()
	}
	return s.verdict(c, answer)
}

// hashes are the payloads' hashes, ascending and each once.
func hashes(payloads []string) []uint64 {
	out := make([]uint64, 0, len(payloads))
	for _, p := range payloads {
		out = append(out, control.PayloadHash(p))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// userMenus refuses the edge where it does not exist.
func userMenus(c *call) error {
	if c.caller.Asset.Object == control.ObjectInstagram {
		return graph.InvalidParameter("custom_user_settings is not available on Instagram")
	}
	return nil
}

// countUserMenu refuses more than ten calls for a person in ten minutes.
func (s *Service) countUserMenu(c *call, person uint64) error {
	wait, ok := s.menus.admit(control.ThreadKey{Asset: c.caller.Asset.ID, Person: person}, time.Now())
	if !ok {
		return graph.RateLimit(wait)
	}
	return nil
}
