package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/baton-router/baton/pkg/control"
	"github.com/baton-router/baton/pkg/platform"
	"github.com/baton-router/baton/pkg/roster"
	"github.com/baton-router/baton/services/simulator"
)

// errUnknownAsset is returned for a page that has left the roster since.
var errUnknownAsset = errors.New("the page is not in the roster any more")

// upstream carries out what a partition's holder forwards itself.
type upstream struct {
	platform *platform.Client
	rosters  *rosterFeed
}

// SendSurvey forwards a held survey.
func (u upstream) SendSurvey(ctx context.Context, thread control.ThreadKey, message []byte, token string) (mid string, refused []byte, err error) {
	asset, ok := u.rosters.Current().Asset(thread.Asset)
	if !ok {
		return "", nil, errUnknownAsset
	}
	body, err := surveyBody(thread.Person, message, token)
	if err != nil {
		return "", nil, err
	}
	answer, err := u.platform.SendMessage(ctx, platform.Message{Node: asset.Node(), Token: asset.AccessToken.Value(), JSON: body})
	if r, ok := platform.Refused(err); ok {
		return "", r.Body, nil
	}
	return answer.Mid, nil, err
}

// surveyBody is the send of a survey with the token as its metadata.
func surveyBody(person uint64, message []byte, token string) ([]byte, error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(message, &parts); err != nil {
		return nil, fmt.Errorf("held survey: %w", err)
	}
	parts["metadata"], _ = json.Marshal(token) // a string: cannot fail
	return json.Marshal(map[string]any{
		"recipient":      map[string]string{"id": strconv.FormatUint(person, 10)},
		"messaging_type": "MESSAGE_TAG", "tag": "CUSTOMER_FEEDBACK", "message": parts,
	})
}

// Mirror tells the platform which side has control.
func (u upstream) Mirror(ctx context.Context, thread control.ThreadKey, inbox bool) error {
	asset, ok := u.rosters.Current().Asset(thread.Asset)
	if !ok {
		return errUnknownAsset
	}
	h := platform.Handover{Node: asset.Node(), Token: asset.AccessToken.Value(), Person: thread.Person, Target: uint64(asset.Rules.Inbox())}
	if inbox {
		return u.platform.PassThreadControl(ctx, h)
	}
	return u.platform.TakeThreadControl(ctx, h)
}

// newSimulator makes the simulator of a configuration: its pages are those of
// the roster in force, its webhooks go to this node's public listener.
func newSimulator(n *node) (*simulator.Service, error) {
	c := simulator.Config{
		DataDir: n.cfg.DataDir, WebhookURL: n.publicURL() + "/webhook", Listen: "127.0.0.1:0",
		AppSecret: n.cfg.Platform.AppSecret.Value(), VerifyToken: n.cfg.Platform.VerifyToken.Value(), DefaultPerson: defaultPerson,
	}
	c.AppID, _ = control.ParseID(n.cfg.Platform.AppID)
	client, err := ownClient(n.cfg.Listen.TLS)
	if err != nil {
		return nil, err
	}
	pages := &simulatedPages{rosters: n.rosters}
	return simulator.New(c, simulator.Deps{Client: client, Pages: pages.current, Logger: n.log.With("role", "simulator")})
}

// simulatedPages are the roster's pages as the simulator knows pages: as soon as
// a roster is in force here, the simulated platform has its pages.
type simulatedPages struct {
	rosters *rosterFeed
	latest  atomic.Pointer[pagesOf]
}

// pagesOf are the pages of one version of the roster.
type pagesOf struct {
	snapshot *roster.Snapshot
	pages    []simulator.Page
}

func (p *simulatedPages) current() []simulator.Page {
	snap := p.rosters.Current()
	if known := p.latest.Load(); known != nil && known.snapshot == snap {
		return known.pages
	}
	next := &pagesOf{snapshot: snap}
	for _, id := range snap.Assets() {
		asset, _ := snap.Asset(id)
		next.pages = append(next.pages, simulator.Page{
			ID: id, Object: asset.Object, Name: asset.Name, AccessToken: asset.AccessToken.Value(), LinkedPage: asset.LinkedPage,
		})
	}
	p.latest.Store(next)
	return next.pages
}

// ownClient reaches this node's own listeners: it trusts their certificate, by
// whatever name it goes, and presents it where one is asked for. nil without
// TLS.
func ownClient(c roster.ListenTLS) (*http.Client, error) {
	if c.Cert == "" {
		return nil, nil //nolint:nilnil // the simulator has one of its own
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: x509.NewCertPool()}
	config.RootCAs.AddCert(pair.Leaf)
	if names := pair.Leaf.DNSNames; len(names) > 0 {
		config.ServerName = strings.Replace(names[0], "*", "baton", 1)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 16}}, nil
}

// defaultPerson writes on the simulated platform when nobody else is named.
const defaultPerson = 9001234567890123
