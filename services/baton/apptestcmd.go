package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/baton-router/baton/pkg/contract"
	"github.com/baton-router/baton/pkg/egress"
)

// appTest puts an app's endpoint through every kind of event. It needs no
// running Baton.
type appTest struct {
	URL            string        `name:"url" help:"The app's callback URL." required:""`
	Secret         string        `help:"The app's secret: a text, env:NAME or file:PATH. Without it signatures are not tested."`
	VerifyToken    string        `help:"The app's verify token, likewise. Without it the handshake is not tested."`
	Timeout        time.Duration `help:"How long to wait for one answer." default:"10s"`
	NumericAppIDs  bool          `name:"numeric-app-ids" help:"Write app ids in handover events as numbers, as compat.numeric_app_ids does."`
	EmptyMessaging bool          `help:"Add an empty messaging list to standby entries, as compat.empty_messaging does."`
}

// anywhere: the command runs where its user is, and may reach what he may.
func anywhere() egress.Allow {
	allow, _ := egress.ParseAllow([]string{"0.0.0.0/0", "::/0"}) // both are CIDRs
	return allow
}

func (c *appTest) Run(ctx context.Context, g *Global, s *streams) error {
	secret, err := givenSecret(c.Secret)
	if err != nil {
		return usage("--secret: %s", err)
	}
	token, err := givenSecret(c.VerifyToken)
	if err != nil {
		return usage("--verify-token: %s", err)
	}
	via := egress.Transport(egress.Policy{Allow: anywhere()})
	defer via.CloseIdleConnections()
	var results []contract.Result
	err = contract.Run(ctx, contract.Config{
		URL: c.URL, Secret: secret, VerifyToken: token, Timeout: c.Timeout, Via: via, Agent: "Baton/" + Version,
		Compat: contract.Compat{NumericAppIDs: c.NumericAppIDs, EmptyMessaging: c.EmptyMessaging},
	}, func(r contract.Result) { results = append(results, r) })
	switch {
	case errors.Is(err, contract.ErrConfig):
		return usage("%s", strings.TrimPrefix(err.Error(), "contract: "))
	case errors.Is(err, contract.ErrUnreachable):
		return codedError{exitNotServed, err}
	case err != nil:
		return err
	}
	if secret == "" {
		_, _ = fmt.Fprintln(s.err, "baton: without --secret nothing is signed, and forged events are not tried")
	}
	if token == "" {
		_, _ = fmt.Fprintln(s.err, "baton: without --verify-token the handshake is not tried")
	}
	if err := printResults(g, s, results); err != nil {
		return err
	}
	return summary(results)
}

// givenSecret is a text, or what env:NAME or file:PATH stands for.
func givenSecret(text string) (string, error) {
	if name, ok := strings.CutPrefix(text, "env:"); ok {
		value := os.Getenv(name)
		if value == "" {
			return "", fmt.Errorf("the variable %s is not set", name)
		}
		return value, nil
	}
	if path, ok := strings.CutPrefix(text, "file:"); ok {
		data, err := os.ReadFile(path)
		return strings.TrimSpace(string(data)), err
	}
	return text, nil
}

func printResults(g *Global, s *streams, results []contract.Result) error {
	if g.Output == "json" {
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		return e.Encode(map[string]any{"results": results})
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	row(w, "VERDICT", "EVENT", "STATUS", "TOOK", "ADVICE")
	for _, r := range results {
		status := strconv.Itoa(r.Status)
		if r.Status == 0 {
			status = string(r.Failure)
		}
		row(w, string(r.Verdict), r.Name, status, r.Took.Round(100*time.Microsecond).String(), r.Advice)
	}
	return w.Flush()
}

// summary is the verdict on all: an error when anything failed.
func summary(results []contract.Result) error {
	failed := 0
	for _, r := range results {
		if r.Verdict == contract.Fail {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d failed", failed, len(results))
	}
	return nil
}
