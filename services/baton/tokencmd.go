package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
	"github.com/baton-router/baton/pkg/roster"
)

// tokenCommands give apps tokens and take them back.
type tokenCommands struct {
	Ls     tokenLs     `cmd:"" help:"List the apps' valid tokens by their fingerprints; the tokens themselves are known to nobody."`
	Add    tokenAdd    `cmd:"" help:"Let an app use one more token for a page; those it has stay valid."`
	Revoke tokenRevoke `cmd:"" help:"Make a token invalid, at once and for good."`
}

type tokenLs struct{}

func (c *tokenLs) Run(ctx context.Context, g *Global, s *streams) error {
	resp, err := g.admin().ListTokens(ctx, connect.NewRequest(&adminv1.ListTokensRequest{}))
	if err != nil {
		return err
	}
	return s.print(g, resp.Msg, func(w *tabwriter.Writer) {
		row(w, "PAGE", "APP", "NAME", "FINGERPRINT")
		for _, t := range resp.Msg.GetTokens() {
			row(w, t.GetPageId(), t.GetAppId(), t.GetAppName(), t.GetFingerprint()[:shownDigits])
		}
	})
}

// shownDigits of a fingerprint are enough to tell tokens apart.
const shownDigits = 16

type tokenAdd struct {
	Page   string `arg:"" name:"page-id" help:"Page or Instagram account."`
	App    string `arg:"" help:"Id or name of the app."`
	File   string `help:"Read the token from a file, - for standard input; else a new one is made and printed, once." placeholder:"FILE"`
	DryRun bool   `help:"Say what would happen; change nothing."`
}

func (c *tokenAdd) Run(ctx context.Context, g *Global, s *streams) error {
	token, made := newToken(), true
	if c.File != "" {
		var err error
		if token, err = readToken(c.File); err != nil {
			return err
		}
		made = false
	}
	resp, err := changeToken(ctx, g, &adminv1.ChangeTokenRequest{
		Verb: "add", PageId: c.Page, App: c.App, Fingerprint: roster.HashToken(token).String(), DryRun: c.DryRun,
	})
	if err != nil {
		return err
	}
	if made && !c.DryRun {
		_, _ = fmt.Fprintln(s.err, "baton: the token is shown this once; Baton keeps its hash")
		_, _ = fmt.Fprintln(s.out, token)
		return missingPartitions(resp)
	}
	return printToken(g, s, resp)
}

// newToken is a token that nobody can guess.
func newToken() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return "BATON" + hex.EncodeToString(random)
}

// maxToken bounds a token, in bytes.
const maxToken = 4096

// readToken reads a token from the first line of a file, so that it stands in no
// command line; - is standard input.
func readToken(name string) (string, error) {
	file := os.Stdin
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return "", usage("%w", err)
		}
		defer func() { _ = opened.Close() }() // it was only read
		file = opened
	}
	line, err := bufio.NewReader(io.LimitReader(file, maxToken)).ReadString('\n')
	if token := strings.TrimSpace(line); token != "" {
		return token, nil
	}
	return "", usage("no token in %s: %v", name, err)
}

type tokenRevoke struct {
	Fingerprint string `arg:"" optional:"" help:"First digits of the fingerprint, at least eight, as token ls shows them."`
	File        string `help:"Read the token itself from a file, - for standard input." placeholder:"FILE"`
	DryRun      bool   `help:"Say what would happen; change nothing."`
}

func (c *tokenRevoke) Run(ctx context.Context, g *Global, s *streams) error {
	if (c.File == "") == (c.Fingerprint == "") {
		return usage("want a FINGERPRINT or --file")
	}
	if c.File != "" {
		token, err := readToken(c.File)
		if err != nil {
			return err
		}
		c.Fingerprint = roster.HashToken(token).String()
	}
	resp, err := changeToken(ctx, g, &adminv1.ChangeTokenRequest{Verb: "revoke", Fingerprint: c.Fingerprint, DryRun: c.DryRun})
	if err != nil {
		return err
	}
	return printToken(g, s, resp)
}

func changeToken(ctx context.Context, g *Global, req *adminv1.ChangeTokenRequest) (*adminv1.ChangeTokenResponse, error) {
	resp, err := g.admin().ChangeToken(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return resp.Msg, nil
}

func printToken(g *Global, s *streams, resp *adminv1.ChangeTokenResponse) error {
	t := resp.GetToken()
	err := s.print(g, resp, func(w *tabwriter.Writer) {
		row(w, "page", t.GetPageId())
		row(w, "app", t.GetAppId(), t.GetAppName())
		row(w, "fingerprint", t.GetFingerprint()[:shownDigits])
		row(w, "version", fmt.Sprint(resp.GetVersion()))
	})
	if err != nil {
		return err
	}
	return missingPartitions(resp)
}

// missingPartitions is the verdict on a change that not all partitions follow.
func missingPartitions(resp *adminv1.ChangeTokenResponse) error {
	if missing := resp.GetMissing(); len(missing) > 0 {
		return verdict("partitions %v have not logged version %d yet", missing, resp.GetVersion())
	}
	return nil
}
