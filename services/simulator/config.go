package simulator

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/baton-router/baton/pkg/control"
)

// Config is what the simulator is told at start. It is not changed afterwards.
type Config struct {
	// DataDir is the directory of the state file; it must exist.
	DataDir string
	// WebhookURL is where Baton's ingress takes webhooks.
	WebhookURL string
	// Listen is the host:port of the Graph listener; "" for none, when
	// Handler is mounted elsewhere. Port 0 takes a free one.
	Listen string
	// AppID is Baton's own app on the platform, AppSecret signs the webhooks
	// pushed to it, VerifyToken is what Verify presents.
	AppID       uint64
	AppSecret   string
	VerifyToken string
	// Pages are the Pages and Instagram accounts that there are.
	Pages []Page
	// DefaultPerson acts where no person is named; zero for none.
	DefaultPerson uint64
	// Seed makes message ids, names and trace ids reproducible.
	Seed uint64
	// MaxInFlight bounds the webhooks under way at once, over all threads;
	// zero means 16.
	MaxInFlight int
	// Timeout bounds one attempt to push a webhook; zero means 10 s.
	Timeout time.Duration
	// RetryFor is how long a webhook is repeated before it is dropped; zero
	// means one hour.
	RetryFor time.Duration
}

// Page is a Page or an Instagram account on the platform.
type Page struct {
	// ID is the asset's id.
	ID uint64
	// Object is page or instagram; zero means page.
	Object control.Object
	// Name is shown in answers.
	Name string
	// AccessToken is Baton's own token for the asset.
	AccessToken string
	// LinkedPage is the Page of an Instagram account, zero for none.
	LinkedPage uint64
}

// Deps is what the simulator uses of its surroundings.
type Deps struct {
	// Logger is required.
	Logger *slog.Logger
	// Client pushes the webhooks; nil for one of the simulator's own.
	Client *http.Client
	// Clock is the wall clock; nil means time.Now.
	Clock func() time.Time
	// Pages are the Pages and Instagram accounts at the time of the call, for
	// pages that come and go; nil for those of Config. Called often and from
	// any goroutine; nobody changes the slice afterwards.
	Pages func() []Page
}

// Errors of the people, the inbox and the clock. Whoever gets one has changed
// nothing.
var (
	// ErrInvalid marks input that the platform would not take.
	ErrInvalid = errors.New("simulator: invalid")
	// ErrNotFound marks a page, message or button that is not there.
	ErrNotFound = errors.New("simulator: not found")
	// ErrBusy is returned when too many webhooks wait for ingress.
	ErrBusy = errors.New("simulator: too many webhooks wait for ingress")
)

// Bounds of what the simulator keeps.
const (
	maxThreads = 2000   // the least recently used quiet one makes room
	maxPending = 10_000 // webhooks that wait, over all threads
	maxLines   = 10_000 // of the transcript in memory
	savedLines = 1000   // of the transcript on disk
	maxButtons = 64     // remembered per thread
)

// Validate lists every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("simulator: "+format, args...))
	}
	if c.DataDir == "" {
		fault("data directory is missing")
	}
	if u, err := url.Parse(c.WebhookURL); err != nil || u.Host == "" {
		fault("webhook URL %q is not an absolute URL", c.WebhookURL)
	}
	if c.AppID == 0 || c.AppSecret == "" {
		fault("app id and app secret are both needed")
	}
	if c.MaxInFlight < 0 || c.Timeout < 0 || c.RetryFor < 0 {
		fault("max in flight, timeout and retry for cannot be negative")
	}
	faults = append(faults, validatePages(c.Pages)...)
	return errors.Join(faults...)
}

func validatePages(pages []Page) []error {
	var faults []error
	ids, tokens := map[uint64]bool{}, map[string]uint64{}
	for _, p := range pages {
		if p.ID == 0 || p.AccessToken == "" {
			faults = append(faults, fmt.Errorf("simulator: page %d needs an id and an access token", p.ID))
		}
		if ids[p.ID] {
			faults = append(faults, fmt.Errorf("simulator: page %d is listed twice", p.ID))
		}
		if other, ok := tokens[p.AccessToken]; ok && p.AccessToken != "" {
			faults = append(faults, fmt.Errorf("simulator: pages %d and %d have the same access token", other, p.ID))
		}
		ids[p.ID], tokens[p.AccessToken] = true, p.ID
	}
	return faults
}

// withDefaults returns c with every zero that means something else replaced.
func (c Config) withDefaults() Config {
	if c.MaxInFlight == 0 {
		c.MaxInFlight = 16
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.RetryFor == 0 {
		c.RetryFor = time.Hour
	}
	return c
}
