package main

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"connectrpc.com/connect"

	"github.com/baton-router/baton/pkg/gen/baton/admin/v1/adminv1connect"
	"github.com/baton-router/baton/pkg/gen/baton/sim/v1/simv1connect"
	"github.com/baton-router/baton/pkg/roster"
)

// requestTimeout bounds a command's single request. Streams have none, nor has what
// reads the whole log, which takes as long as the log is.
const requestTimeout = 2 * time.Minute

func readsTheLog(procedure string) bool {
	return procedure == adminv1connect.AdminServiceVerifyLogProcedure || procedure == adminv1connect.AdminServiceReplayProcedure
}

// prepare checks where the server is to be found and how to talk to it.
func (g *Global) prepare() error {
	u, err := url.Parse(g.Admin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usage("--admin %q is not a URL such as %s", g.Admin, defaultAdmin)
	}
	if (g.Cert == "") != (g.Key == "") {
		return usage("--cert and --key go together")
	}
	config, err := clientTLS(roster.NATSTLS{CA: g.CA, Cert: g.Cert, Key: g.Key})
	if err != nil {
		return codedError{exitUsage, err}
	}
	g.http = http.DefaultClient
	if config != nil {
		g.http = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true}}
	}
	return nil
}

func (g *Global) admin() adminv1connect.AdminServiceClient {
	return adminv1connect.NewAdminServiceClient(g.client(), g.Admin, connect.WithInterceptors(caller(g.Token)))
}

func (g *Global) sim() simv1connect.SimServiceClient {
	return simv1connect.NewSimServiceClient(g.client(), g.Admin, connect.WithInterceptors(caller(g.Token)))
}

func (g *Global) client() *http.Client {
	if g.http == nil {
		return http.DefaultClient
	}
	return g.http
}

// caller adds the admin token, if there is one, to every call, and bounds those
// that are not streams.
type caller string

func (c caller) authorise(h http.Header) {
	if c != "" {
		h.Set("Authorization", "Bearer "+string(c))
	}
}

func (c caller) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		c.authorise(req.Header())
		if readsTheLog(req.Spec().Procedure) {
			return next(ctx, req)
		}
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		return next(ctx, req)
	}
}

func (c caller) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		c.authorise(conn.RequestHeader())
		return conn
	}
}

func (caller) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}
