package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/services/demoapps"
	"github.com/baton-router/baton/services/simulator"
)

// devWorld is a whole development installation in this process.
type devWorld struct {
	t      *testing.T
	dev    *devNode
	tokens map[uint64]string
}

func startDevWorld(t *testing.T) *devWorld {
	t.Helper()
	dir := t.TempDir()
	d, err := startDev(t.Context(), devOptions{
		dataDir: dir, logLevel: "error", errors: io.Discard, freePorts: true, quiet: true, say: func(string, ...any) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background()) // ended in the clean-up, which waits
	ended := make(chan error, 1)
	go func() { ended <- d.node.run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := d.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	demo, err := demoapps.DevRoster(dir)
	if err != nil {
		t.Fatal(err)
	}
	w := &devWorld{t: t, dev: d, tokens: map[uint64]string{}}
	for _, a := range demo.Apps {
		w.tokens[a.ID] = a.AccessToken
	}
	return w
}

// call makes a Graph call of an app.
func (w *devWorld) call(app uint64, method, path, body string) (status int, answer string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.dev.node.publicURL()+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+w.tokens[app])
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(data))
}

func (w *devWorld) wants(app uint64, method, path, body string, status int, part string) {
	w.t.Helper()
	if got, answer := w.call(app, method, path, body); got != status || !strings.Contains(answer, part) {
		w.t.Fatalf("%s %s: %d %s, want %d with %s", method, path, got, answer, status, part)
	}
}

// ownedBy waits until the app has control of the thread.
func (w *devWorld) ownedBy(app, person uint64) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		_, answer := w.call(app, http.MethodGet, "/me/thread_owner?recipient="+strconv.FormatUint(person, 10), "")
		if strings.Contains(answer, control.AppID(app).String()) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.t.Fatalf("app %d has no control: %s", app, answer)
		}
	}
}

// TestMenusOverTheWholePipeline sets menus against the real rules, holder and
// roster, and taps an item.
func TestMenusOverTheWholePipeline(t *testing.T) {
	t.Parallel()
	w := startDevWorld(t)
	asset, _ := control.ParseID(w.dev.cfg.Pages[0].ID)
	person := uint64(defaultPerson)
	psid := strconv.FormatUint(person, 10)
	menu := func(payload string) string {
		return `[{"locale":"default","call_to_actions":[{"type":"postback","title":"T","payload":"` + payload + `"}]}]`
	}
	const bot, agent = demoapps.FAQBot, demoapps.LiveAgent
	if _, err := w.dev.node.simulator.Message(asset, person, "hello", simulator.MessageOptions{}); err != nil {
		t.Fatal(err)
	}
	w.ownedBy(bot, person)
	w.wants(agent, "POST", "/me/messenger_profile", `{"persistent_menu":`+menu("BOT")+`}`, 400, `"code":10,`)
	w.wants(bot, "POST", "/me/messenger_profile", `{"persistent_menu":`+menu("BOT")+`,"get_started":{"payload":"GO"}}`, 200, `{"result":"success"}`)
	w.wants(bot, "GET", "/me/messenger_profile?fields=persistent_menu", "", 200, `"payload":"BOT"`)
	settings := `{"psid":"` + psid + `","persistent_menu":` + menu("AGENT") + `}`
	w.wants(agent, "POST", "/me/custom_user_settings", settings, 400, `"error_subcode":2018336`)
	w.wants(bot, "POST", "/me/pass_thread_control", `{"recipient":{"id":"`+psid+`"},"target_app_id":`+control.AppID(agent).String()+`}`, 200, "true")
	w.wants(agent, "POST", "/me/custom_user_settings", settings, 200, `{"result":"success"}`)
	w.wants(agent, "GET", "/me/conversations?fields=is_owner&user_id="+psid, "", 200, `"is_owner":true`)
	w.wants(bot, "GET", "/me/conversations?fields=is_owner", "", 200, `"is_owner":false`)
	w.wants(bot, "GET", "/me?fields=messaging_feature_status", "", 200, `"hop_v2":true`)
	w.wants(bot, "GET", "/"+psid+"?fields=first_name", "", 200, `"first_name"`)
	if _, err := w.dev.node.simulator.Postback(asset, person, "BOT", "T"); err != nil {
		t.Fatal(err)
	}
	w.ownedBy(bot, person)
	if _, err := w.dev.node.simulator.Postback(asset, person, "AGENT", "T"); err != nil {
		t.Fatal(err)
	}
	w.ownedBy(agent, person)
	w.revoked(agent, psid)
}

// revoked takes an app's token back: it ends at once, for sends too.
func (w *devWorld) revoked(app uint64, psid string) {
	w.t.Helper()
	_, err := w.dev.node.rosters.Change(w.t.Context(), func(d roster.Document) (roster.Document, bool, error) {
		d, err := d.RevokeToken(roster.HashToken(w.tokens[app]))
		return d, err == nil, err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	body, _ := json.Marshal(map[string]any{"recipient": map[string]string{"id": psid}, "message": map[string]string{"text": "x"}})
	w.wants(app, "POST", "/me/messages", string(body), 400, `"error_subcode":460`)
}
