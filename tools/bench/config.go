package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The installation that is measured: one page, its primary app, and others on
// standby.
const (
	page      = 100_200_300_400_500
	firstApp  = 700_000_000_000_001
	appSecret = "app-secret" // of the apps and of the platform, and what the baseline signs with
	verify    = "verify-token"
)

func appID(app int) string { return strconv.Itoa(firstApp + app) }

func appToken(app int) string { return "token-" + strconv.Itoa(app) }

// setup is what of Baton's configuration a measurement varies.
type setup struct {
	callbacks []string
	maxBatch  int
	// inFlight bounds the requests per app at once; 0 for the default.
	inFlight   int
	partitions int // 0 for the default
	// cold leaves out the warm-up.
	cold bool
}

// write writes the configuration into dir. What is not named stays as it is
// shipped.
func (s setup) write(dir string) error {
	var t strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&t, format+"\n", args...) }
	line("data_dir: %q", filepath.Join(dir, "data"))
	line(`listen: {public: "127.0.0.1:0", admin: "127.0.0.1:0"}`)
	line(`nats: {listen: ""}`)
	line("durability: node")
	if s.partitions > 0 {
		line("partitions: %d", s.partitions)
	}
	line(`platform: {graph_url: "http://127.0.0.1:9", app_id: "700000000009999", app_secret: %s, verify_token: %s}`, appSecret, verify)
	line(`egress: {allow: ["127.0.0.0/8"]}`)
	line("apps:")
	for i, callback := range s.callbacks {
		line("  - id: %q\n    name: app-%d\n    secret: %s\n    callback_url: %q\n    verify_token: %s", appID(i), i, appSecret, callback, verify)
		line("    fields: [messages, messaging_postbacks, messaging_handovers, standby]")
		line("    delivery: {max_batch: %d%s}", s.maxBatch, s.slots())
	}
	line("pages:\n  - id: %q\n    name: page\n    access_token: page-token", strconv.Itoa(page))
	line("    routing: {mode: handover, primary: %q}\n    apps:", appID(0))
	for i := range s.callbacks {
		line("      - {app: %q, access_token: %q, tasks: [MODERATE, MESSAGING], permissions: [pages_messaging]}", appID(i), appToken(i))
	}
	return os.WriteFile(filepath.Join(dir, "baton.yaml"), []byte(t.String()), 0o600)
}

func (s setup) slots() string {
	if s.inFlight == 0 {
		return ""
	}
	return ", max_in_flight: " + strconv.Itoa(s.inFlight)
}
