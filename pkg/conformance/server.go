package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Server describes the server under test: the file of --config.
type Server struct {
	// URL is the base of its Graph API, Webhook the path on which it takes the
	// platform's webhooks (default /webhook).
	URL     string `yaml:"url"`
	Webhook string `yaml:"webhook"`
	// Platform is the server's own app on the platform.
	Platform PlatformApp `yaml:"platform"`
	// Callbacks is where the kit's fake apps listen.
	Callbacks Callbacks `yaml:"callbacks"`
	// Deadline bounds what has to happen by itself; default 15s.
	Deadline Span `yaml:"deadline"`
	// Settle is how long to wait until nothing more is thought to come, on a
	// server that does not deliver a thread's events in order or does not
	// report delivery receipts on standby. Zero: a receipt is sent through the
	// thread behind what was done, and what comes before it is all there is.
	Settle Span `yaml:"settle"`
	// Parallel bounds the vectors under way at once; default 24.
	Parallel int `yaml:"parallel"`
	// Baton is the admin listener of a Baton started for the purpose, on the
	// simulated platform: the kit puts its own apps and pages into force and
	// moves the clock.
	Baton BatonAdmin `yaml:"baton"`
	// Apps and Pages are what another server is set up with.
	Apps  map[string]ForeignApp `yaml:"apps"`
	Pages []ForeignPage         `yaml:"pages"`
}

// PlatformApp is what the platform knows of the server.
type PlatformApp struct {
	AppID       string `yaml:"app_id"`
	AppSecret   string `yaml:"app_secret"`
	VerifyToken string `yaml:"verify_token"`
}

// Callbacks say where fake apps listen and how the server reaches them.
type Callbacks struct {
	// Listen is host:port; default 127.0.0.1:0.
	Listen string `yaml:"listen"`
	// URL is how the server reaches Listen; default http:// and its address.
	// An app's callback is its id below it.
	URL string `yaml:"url"`
}

// BatonAdmin is Baton's admin listener.
type BatonAdmin struct {
	Admin string `yaml:"admin"`
	Token string `yaml:"token"`
}

// ForeignApp is an app as another server knows it.
type ForeignApp struct {
	ID          string `yaml:"id"`
	Secret      string `yaml:"secret"`
	VerifyToken string `yaml:"verify_token"`
}

// ForeignPage is a page as another server has it: its mode, its settings, and
// the tokens of the apps that are connected to it.
type ForeignPage struct {
	ID       string            `yaml:"id"`
	Mode     Mode              `yaml:"mode"`
	Settings Settings          `yaml:"settings"`
	Tokens   map[string]string `yaml:"tokens"`
}

// ParseServer reads the description of a server. Unknown keys and missing parts
// are errors that name the line or the key.
func ParseServer(name string, data []byte) (Server, error) {
	s := Server{}
	if err := strictly(name, data, &s); err != nil {
		return s, err
	}
	if s.Webhook == "" {
		s.Webhook = "/webhook"
	}
	if s.Callbacks.Listen == "" {
		s.Callbacks.Listen = "127.0.0.1:0"
	}
	if s.Deadline == 0 {
		s.Deadline = Span(15 * time.Second)
	}
	if s.Parallel == 0 {
		s.Parallel = 24
	}
	return s, nil
}

// Validate lists what is wrong or missing, all at once.
func (s *Server) Validate() error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if u, err := url.Parse(s.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		fail("url %q is not the URL of a server", s.URL)
	}
	if !isID(s.Platform.AppID) || s.Platform.AppSecret == "" {
		fail("platform.app_id and platform.app_secret are needed to sign webhooks")
	}
	if s.Deadline <= 0 || s.Settle < 0 || s.Parallel < 1 {
		fail("deadline and parallel are more than nothing, settle is not negative")
	}
	if s.Baton.Admin != "" {
		if len(s.Apps) > 0 || len(s.Pages) > 0 {
			fail("apps and pages are for servers that are not Baton; Baton is given the kit's own")
		}
		return errors.Join(faults...)
	}
	for letter, app := range s.Apps {
		if !oneOf(appLetters, letter) || !isID(app.ID) || app.Secret == "" {
			fail("apps.%s: a letter of %s with an id and a secret is needed", letter, appLetters)
		}
	}
	if len(s.Pages) == 0 {
		fail("pages: none; name the pages of the server, or the admin listener of a Baton")
	}
	for i := range s.Pages {
		faults = append(faults, s.checkPage(&s.Pages[i])...)
	}
	return errors.Join(faults...)
}

func (s *Server) checkPage(p *ForeignPage) []error {
	var faults []error
	if !isID(p.ID) || !oneOf(allModes, string(p.Mode)) {
		faults = append(faults, fmt.Errorf("page %q needs an id and a mode of %s", p.ID, allModes))
	}
	for letter := range p.Tokens {
		if _, known := s.Apps[letter]; !known {
			faults = append(faults, fmt.Errorf("page %s has a token of app %s, which apps does not describe", p.ID, letter))
		}
	}
	for _, err := range p.Settings.check(0) {
		faults = append(faults, fmt.Errorf("page %s: %w", p.ID, err))
	}
	return faults
}

// Steward does what only somebody in charge of a server can do. Only a Baton
// made for the purpose has one.
type Steward interface {
	// Apply puts apps and pages into force; roster is a configuration file.
	// It returns when the whole server acts on them.
	Apply(ctx context.Context, roster []byte) error
	// Clock moves the server's clock forward and returns by how much it is
	// ahead of this machine's.
	Clock(ctx context.Context, forward time.Duration) (ahead time.Duration, err error)
	// Platform makes the simulated platform behave on a page: normal, silent
	// (no echoes) or refuses (it refuses sends).
	Platform(ctx context.Context, page, word string) error
	// Quiet reports whether all that was decided has been delivered.
	Quiet(ctx context.Context) (bool, error)
}
