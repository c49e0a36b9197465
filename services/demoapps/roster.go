package demoapps

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Ids of the demo apps.
const (
	FAQBot    uint64 = 700000000000001
	LiveAgent uint64 = 700000000000002
	Survey    uint64 = 700000000000003
)

const secretsName = "demoapps-secrets.json"

// App is one demo app as a configuration describes it.
type App struct {
	// ID is the app's id, Name its name in a configuration, Label its short
	// name in printed lines.
	ID    uint64
	Name  string
	Label string
	// Primary is set for the app that is the page's primary receiver.
	Primary bool
	// Fields are what it subscribes to.
	Fields []string
	// Secret signs the webhooks it gets, VerifyToken is what it expects in
	// the hub.challenge handshake, AccessToken what it presents to the Graph
	// API for the page.
	Secret, VerifyToken, AccessToken string
}

// Roster is what a development configuration has to know of the demo apps.
type Roster struct {
	// PageID is the page that all of them serve.
	PageID uint64
	// Apps are faq-bot, live-agent and survey.
	Apps []App
}

// DevRoster returns the demo apps of a data directory. The first call makes
// their secrets at random and keeps them in the directory, readable for the
// user alone; later calls return the same.
func DevRoster(dataDir string) (Roster, error) {
	path := filepath.Join(dataDir, secretsName)
	b, err := os.ReadFile(path)
	secrets := map[string]string{}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Roster{}, fmt.Errorf("demoapps: reading secrets: %w", err)
	default:
		if err := json.Unmarshal(b, &secrets); err != nil {
			return Roster{}, fmt.Errorf("demoapps: secrets file %s is damaged (remove it to make new ones): %w", path, err)
		}
	}
	known := len(secrets)
	r := rosterWith(secrets)
	if len(secrets) == known {
		return r, nil
	}
	if b, err = json.MarshalIndent(secrets, "", "  "); err != nil {
		return Roster{}, fmt.Errorf("demoapps: encoding secrets: %w", err)
	}
	return r, writeSecrets(path, append(b, '\n'))
}

// rosterWith fills in the secrets and makes those that are missing.
func rosterWith(secrets map[string]string) Roster {
	messages := []string{
		"messages", "messaging_postbacks", "message_echoes", "message_deliveries", "message_reads",
		"messaging_referrals", "messaging_handovers", "standby",
	}
	r := Roster{PageID: 100200300400500, Apps: []App{
		{ID: FAQBot, Name: "faq-bot", Label: "faq-bot", Primary: true, Fields: messages},
		{ID: LiveAgent, Name: "live-agent", Label: "agent", Fields: messages},
		{ID: Survey, Name: "survey", Label: "survey", Fields: []string{
			"messages", "message_echoes", "messaging_feedback", "messaging_handovers", "standby",
		}},
	}}
	for i := range r.Apps {
		a := &r.Apps[i]
		a.Secret = keep(secrets, a.Name+".secret", "")
		a.VerifyToken = keep(secrets, a.Name+".verify_token", "")
		a.AccessToken = keep(secrets, a.Name+".access_token", "EAAdemo")
	}
	return r
}

func keep(secrets map[string]string, name, prefix string) string {
	if secrets[name] == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		secrets[name] = prefix + hex.EncodeToString(b[:])
	}
	return secrets[name]
}

// writeSecrets puts the file there whole or not at all.
func writeSecrets(path string, b []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return fmt.Errorf("demoapps: writing secrets: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("demoapps: writing secrets: %w", errors.Join(err, os.Remove(tmp)))
	}
	return nil
}
