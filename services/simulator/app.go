package simulator

import (
	"net/http"
	"strings"
)

// webhookFields are the fields to which Baton's app is subscribed from the
// start. The simulator pushes every kind, whatever the fields: it stands for a
// platform on which Baton subscribes to all.
func webhookFields() []string {
	return []string{
		"messages", "message_echoes", "message_edits", "message_deliveries", "message_reads", "message_reactions",
		"messaging_postbacks", "messaging_referrals", "messaging_optins", "messaging_optouts", "messaging_account_linking",
		"messaging_handovers", "messaging_feedback", "messaging_policy_enforcement", "messaging_seen", "messaging_referral",
		"messaging_handover", "message_edit", "response_feedback", "send_cart", "standby",
	}
}

// appCall answers a call with the app's own token, APPID|SECRET; ok is false
// when the token is none.
func (s *Service) appCall(r *http.Request, p params) (answer reply, ok bool, err error) {
	id, secret, ok := strings.Cut(p.text("access_token"), "|")
	if !ok {
		return reply{}, false, nil
	}
	if id != decimal(s.config.AppID) || secret != s.config.AppSecret {
		return reply{}, true, &graphError{Code: 101, Message: "Error validating application. Cannot get application info due to a system error."}
	}
	steps := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if versionStep.MatchString(steps[0]) {
		steps = steps[1:]
	}
	switch {
	case r.Method == http.MethodGet && len(steps) == 1 && steps[0] == "debug_token":
		return s.debugToken(p), true, nil
	case r.Method == http.MethodGet && len(steps) == 2 && steps[0] == id && steps[1] == "subscriptions":
		return s.readAppSubscriptions(), true, nil
	}
	return reply{}, true, &graphError{Code: 2500, Message: "Unknown path components: " + r.URL.Path}
}

// debugToken tells what a page's token is good for.
func (s *Service) debugToken(p params) reply {
	page := s.pageByToken(p.text("input_token"))
	if page == nil {
		return ok(map[string]any{"data": map[string]any{
			"is_valid": false, "scopes": []string{},
			"error": map[string]any{"code": 190, "message": "Invalid OAuth access token - Cannot parse access token"},
		}})
	}
	return ok(map[string]any{"data": map[string]any{
		"app_id": decimal(s.config.AppID), "type": "PAGE", "application": "Baton", "is_valid": true, "expires_at": 0,
		"profile_id": decimal(page.graphNode()), "scopes": []string{"pages_messaging", "pages_manage_metadata", "instagram_manage_messages"},
	}})
}

// graphNode is the Page that is called for the asset.
func (p *Page) graphNode() uint64 {
	if p.LinkedPage != 0 {
		return p.LinkedPage
	}
	return p.ID
}

func (s *Service) readAppSubscriptions() reply {
	var list []any
	for _, object := range []string{"page", "instagram"} {
		var fields []any
		for _, name := range webhookFields() {
			fields = append(fields, map[string]string{"name": name, "version": "v25.0"})
		}
		list = append(list, map[string]any{"object": object, "callback_url": s.config.WebhookURL, "active": true, "fields": fields})
	}
	return ok(dataList(list...))
}

// secondaryReceivers lists the inbox: Baton's app is the only one there is, and
// the primary receiver.
func (*Service) secondaryReceivers(*http.Request, *call) (reply, error) {
	return ok(dataList(map[string]string{"id": "263902037430900", "name": "Page Inbox"})), nil
}

// nothing answers lists that are empty here: insights, reviews of features.
func (*Service) nothing(*http.Request, *call) (reply, error) { return ok(dataList()), nil }
