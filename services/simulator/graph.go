package simulator

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/baton-router/baton/pkg/control"
)

const (
	maxBody      = 1 << 20
	maxMultipart = 26 << 20 // an attachment of 25 MB and its envelope
)

// call is one Graph call after its token was recognised.
type call struct {
	page *Page
	edge string
	// node is the first step of the path when it names neither me nor the
	// token's page: a person, an entry of a list, a conversation or a message.
	node   string
	params params
	// switches are those in force when the call began.
	switches Switches
}

// reply is the answer of a call. after, when not nil, runs when the answer is
// out.
type reply struct {
	status int
	body   any
	after  func()
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// edgeFunc answers one edge. It returns a *graphError for what the platform
// refuses.
type edgeFunc func(*Service, *http.Request, *call) (reply, error)

// edges is what the platform offers to Baton's app, by method and edge.
func edges() map[string]edgeFunc {
	return map[string]edgeFunc{
		"GET ":                         (*Service).readNode,
		"POST messages":                (*Service).sendMessage,
		"POST pass_thread_control":     (*Service).passControl,
		"POST take_thread_control":     (*Service).takeControl,
		"GET thread_owner":             (*Service).threadOwner,
		"GET messenger_profile":        (*Service).readProfile,
		"POST messenger_profile":       (*Service).writeProfile,
		"DELETE messenger_profile":     (*Service).deleteProfile,
		"GET custom_user_settings":     (*Service).readUserSettings,
		"POST custom_user_settings":    (*Service).writeUserSettings,
		"DELETE custom_user_settings":  (*Service).deleteUserSettings,
		"GET subscribed_apps":          (*Service).readSubscriptions,
		"POST subscribed_apps":         (*Service).subscribe,
		"DELETE subscribed_apps":       (*Service).unsubscribe,
		"GET conversations":            (*Service).conversations,
		"POST message_attachments":     (*Service).uploadAttachment,
		"POST personas":                (*Service).createPersona,
		"GET personas":                 (*Service).readPersonas,
		"DELETE ":                      (*Service).removeNode,
		"POST custom_labels":           (*Service).createLabel,
		"GET custom_labels":            (*Service).readLabels,
		"POST label":                   (*Service).label,
		"DELETE label":                 (*Service).label,
		"GET secondary_receivers":      (*Service).secondaryReceivers,
		"GET insights":                 (*Service).nothing,
		"GET messaging_feature_review": (*Service).nothing,
		"POST moderate_conversations":  (*Service).moderate,
	}
}

// Handler is the platform's Graph API, with or without a version in the path.
// It may be used at any time, before Run too.
func (s *Service) Handler() http.Handler {
	table := edges()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, err := s.answer(table, w, r)
		if err != nil {
			answer.status, answer.body = s.failure(err)
		}
		writeReply(w, answer)
		if answer.after != nil {
			answer.after()
		}
	})
}

func (s *Service) answer(table map[string]edgeFunc, w http.ResponseWriter, r *http.Request) (reply, error) {
	p, err := readParams(w, r)
	if err != nil {
		return reply{}, err
	}
	if answer, ok, err := s.appCall(r, p); ok {
		return answer, err
	}
	page := s.pageByToken(p.text("access_token"))
	if page == nil {
		return reply{}, &graphError{Code: 190, Message: "Invalid OAuth access token - Cannot parse access token"}
	}
	if !s.proves(p) {
		return reply{}, &graphError{Code: 100, Type: "GraphMethodException", Message: "Invalid appsecret_proof provided in the API argument"}
	}
	c := &call{page: page, params: p}
	if err := c.route(r.URL.Path); err != nil {
		return reply{}, err
	}
	edge := table[p.method(r)+" "+c.edge]
	if edge == nil {
		return reply{}, &graphError{Code: 2500, Message: fmt.Sprintf("Unknown path components: /%s", c.edge)}
	}
	c.switches = s.switchesFor(c)
	if refusal := c.switches.refuses(c.edge); refusal != nil && p.method(r) != http.MethodGet {
		return reply{}, refusal.graphError()
	}
	answer, err := edge(s, r, c)
	s.holdBack(r, c.switches.AnswerDelay)
	return answer, err
}

// proves checks an appsecret_proof when there is one. Source: protocol 2.0.
func (s *Service) proves(p params) bool {
	if !p.has("appsecret_proof") {
		return true
	}
	mac := hmac.New(sha256.New, []byte(s.config.AppSecret))
	mac.Write([]byte(p.text("access_token")))
	return hmac.Equal([]byte(p.text("appsecret_proof")), []byte(hex.EncodeToString(mac.Sum(nil))))
}

// switchesFor counts the calls that switches may be limited to.
func (s *Service) switchesFor(c *call) Switches {
	counted := c.edge == "messages" && !c.params.has("sender_action") ||
		c.edge == "pass_thread_control" || c.edge == "take_thread_control"
	if counted {
		return s.callSwitches(c.page.ID)
	}
	return s.SwitchesOf(c.page.ID)
}

var versionStep = regexp.MustCompile(`^v\d+\.\d+$`)

// route reads the path: an optional version, a node, an optional edge.
func (c *call) route(path string) error {
	steps := strings.Split(strings.Trim(path, "/"), "/")
	if versionStep.MatchString(steps[0]) {
		steps = steps[1:]
	}
	switch {
	case len(steps) == 0 || len(steps) > 2 || steps[0] == "":
		return &graphError{Code: 2500, Message: "Unknown path components: " + path}
	case len(steps) == 2:
		c.edge = steps[1]
	}
	node := steps[0]
	own := node == "me" || node == decimal(c.page.ID) || c.page.LinkedPage != 0 && node == decimal(c.page.LinkedPage)
	if own {
		return nil
	}
	_, digits := control.ParseID(node)
	opaque := strings.HasPrefix(node, "t_") || strings.HasPrefix(node, "m_")
	if !digits && !opaque || c.edge != "" && c.edge != "custom_labels" && c.edge != "label" {
		return errNoObject(node)
	}
	c.node = node
	return nil
}

func (s *Service) pageByToken(token string) *Page {
	pages := s.pages()
	for i := range pages {
		if token != "" && pages[i].AccessToken == token {
			return &pages[i]
		}
	}
	return nil
}

// params are the parameters of a call, wherever they came from: text as it is,
// everything else as JSON text.
type params map[string]string

func (p params) text(name string) string { return p[name] }

func (p params) has(name string) bool { return p[name] != "" }

func (p params) method(r *http.Request) string {
	if m := p["method"]; m != "" && r.Method == http.MethodPost {
		return strings.ToUpper(m)
	}
	return r.Method
}

// readParams reads query, form and JSON body; the body wins over the query.
func readParams(w http.ResponseWriter, r *http.Request) (params, error) {
	p := params{}
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		p["access_token"] = bearer
	}
	p.add(r.URL.Query())
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	if kind == "multipart/form-data" {
		r.Body = http.MaxBytesReader(w, r.Body, maxMultipart)
		if err := r.ParseMultipartForm(maxBody); err != nil { //nolint:gosec // bounded above
			return nil, badBody(err)
		}
		p.add(r.MultipartForm.Value)
		return p, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, badBody(err)
	}
	if kind == "application/x-www-form-urlencoded" {
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, badBody(err)
		}
		p.add(values)
		return p, nil
	}
	return p, p.addJSON(body)
}

func (p params) add(values map[string][]string) {
	for name, list := range values {
		if len(list) > 0 {
			p[name] = list[0]
		}
	}
}

func (p params) addJSON(body []byte) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return badBody(err)
	}
	for name, raw := range fields {
		var text string
		switch {
		case string(raw) == "null":
		case json.Unmarshal(raw, &text) == nil:
			p[name] = text
		default:
			p[name] = string(raw)
		}
	}
	return nil
}

func badBody(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return &graphError{Status: http.StatusRequestEntityTooLarge, Code: 100, Message: "(#100) The request is too large"}
	}
	return &graphError{Code: 100, Message: "(#100) Invalid parameter: the body cannot be read"}
}

func writeReply(w http.ResponseWriter, r reply) {
	body := append(encode(r.body), '\n')
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(r.status)
	if _, err := w.Write(body); err != nil {
		return // the caller has gone; what was sent stays sent
	}
	_ = http.NewResponseController(w).Flush() // not every writer can; the answer leaves when the handler returns
}
