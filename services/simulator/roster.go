package simulator

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/baton-router/baton/pkg/control"
)

const rosterName = "simulator-secrets.json"

// Roster is the platform's side of a development configuration: Baton's own app
// and the page that the demo plays on.
type Roster struct {
	// AppID, AppSecret and VerifyToken are Baton's own app on the platform.
	AppID       uint64 `json:"app_id,string"`
	AppSecret   string `json:"app_secret"`
	VerifyToken string `json:"verify_token"`
	// PageID and PageName are the page, PageToken Baton's own token for it.
	PageID    uint64 `json:"page_id,string"`
	PageName  string `json:"page_name"`
	PageToken string `json:"page_token"`
	// Person is who writes when nobody else is named.
	Person uint64 `json:"person,string"`
}

// DevRoster returns the development roster of a data directory. The first call
// makes its secrets at random and keeps them in the directory, readable for the
// user alone; later calls return the same.
func DevRoster(dataDir string) (Roster, error) {
	path := filepath.Join(dataDir, rosterName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newRoster(path)
	}
	if err != nil {
		return Roster{}, fmt.Errorf("simulator: reading secrets: %w", err)
	}
	var r Roster
	if err := json.Unmarshal(b, &r); err != nil {
		return Roster{}, fmt.Errorf("simulator: secrets file %s is damaged (remove it to make new ones): %w", path, err)
	}
	return r, nil
}

func newRoster(path string) (Roster, error) {
	r := Roster{
		AppID: 700000000009999, AppSecret: secret(), VerifyToken: secret(),
		PageID: 100200300400500, PageName: "ACME Air", PageToken: "EAAsim" + secret(),
		Person: 9001234567890123,
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return Roster{}, fmt.Errorf("simulator: encoding secrets: %w", err)
	}
	return r, writeAtomically(path, append(b, '\n'))
}

// secret is 128 random bits.
func secret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Configure fills in what the roster knows of a configuration.
func (r Roster) Configure(c Config) Config {
	c.AppID, c.AppSecret, c.VerifyToken = r.AppID, r.AppSecret, r.VerifyToken
	c.DefaultPerson = r.Person
	c.Pages = []Page{{ID: r.PageID, Object: control.ObjectPage, Name: r.PageName, AccessToken: r.PageToken}}
	return c
}
