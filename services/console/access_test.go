package console

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/baton-router/baton/pkg/gen/baton/admin/v1"
)

var threeTokens = []Token{
	{Name: "vera", Token: "view", Role: RoleViewer}, {Name: "otto", Token: "operate", Role: RoleOperator}, {Name: "ada", Token: "admin", Role: RoleAdmin},
}

// get fetches a path and returns the status and the body.
func (w *world) get(path string, header ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if r.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			r.Host = header[i+1]
		}
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestWithoutTokensTheListenerMustBeLoopback(t *testing.T) {
	t.Parallel()
	for addr, ok := range map[string]bool{
		"127.0.0.1:8081": true, "[::1]:8081": true, "127.8.8.8:1": true, "0.0.0.0:8081": false, "[::]:8081": false, "192.0.2.1:8081": false,
	} {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newAccess(tcp, nil); (err == nil) != ok {
			t.Errorf("%s without tokens: %v", addr, err)
		}
		if _, err := newAccess(tcp, threeTokens); err != nil {
			t.Errorf("%s with tokens: %v", addr, err)
		}
	}
}

func TestTokensNeedNameAndRole(t *testing.T) {
	t.Parallel()
	addr := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	for _, bad := range []Token{{Token: "x", Role: RoleAdmin}, {Name: "x", Role: RoleAdmin}, {Name: "x", Token: "x"}} {
		if _, err := newAccess(addr, []Token{bad}); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
	if _, err := ParseRole("root"); err == nil {
		t.Error("role root is known")
	}
	for _, r := range []Role{RoleViewer, RoleOperator, RoleAdmin} {
		if got, err := ParseRole(r.String()); got != r || err != nil {
			t.Errorf("%s is %v, %v", r, got, err)
		}
	}
}

func TestWithoutTokensOnlyTheOwnHostAndOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, port, _ := strings.Cut(strings.TrimPrefix(w.base, "http://"), ":")
	for _, path := range []string{"/debug/pprof/", "/healthz", "/metrics", "/sim/x"} {
		for name, c := range map[string]struct {
			header []string
			want   int
		}{
			"plain":          {nil, 200},
			"localhost":      {[]string{"Host", "localhost:" + port}, 200},
			"own origin":     {[]string{"Origin", w.base}, 200},
			"foreign host":   {[]string{"Host", "evil.example:" + port}, 403},
			"another port":   {[]string{"Host", "127.0.0.1:1"}, 403},
			"foreign origin": {[]string{"Origin", "https://evil.example"}, 403},
			"null origin":    {[]string{"Origin", "null"}, 403},
		} {
			if got, body := w.get(path, c.header...); got != c.want {
				t.Errorf("%s, %s: %d %s", path, name, got, body)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refused == 0 {
		t.Error("refused calls are not counted")
	}
}

func TestWithTokensWhatNeedsOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, threeTokens...)
	for path, open := range map[string]bool{
		"/healthz": true, "/readyz": true, "/metrics": true, "/debug/pprof/": false, "/debug/pprof/cmdline": false,
		"/sim/x": false, "/": false, "/healthz/": false,
	} {
		got, _ := w.get(path)
		if want := map[bool]int{true: 200, false: 401}[open]; got != want {
			t.Errorf("%s without a token: %d, want %d", path, got, want)
		}
	}
	for _, bad := range []string{"Bearer wrong", "Bearer ", "Basic view", "view", "Bearer view "} {
		if got, _ := w.get("/debug/pprof/", "Authorization", bad); got != 401 && !strings.HasSuffix(bad, " ") {
			t.Errorf("%q: %d", bad, got)
		}
	}
	if got, body := w.get("/debug/pprof/", "Authorization", "Bearer view"); got != 200 || !strings.Contains(body, "heap") {
		t.Errorf("pprof with a token: %d %s", got, body)
	}
	for token, want := range map[string]int{"view": 403, "operate": 200, "admin": 200} {
		if got, _ := w.get("/sim/x", "Authorization", "Bearer "+token); got != want {
			t.Errorf("the simulator with %s: %d, want %d", token, got, want)
		}
	}
}

func TestRolesMayDoWhatTheyMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, threeTokens...)
	ctx := brief(t)
	w.give(1, bot)
	for _, rpc := range []struct {
		name  string
		least Role
		call  func(token string) error
	}{
		{"ListThreads", RoleViewer, func(k string) error {
			_, err := w.client(k).ListThreads(ctx, connect.NewRequest(&adminv1.ListThreadsRequest{}))
			return err
		}},
		{"ShowThread", RoleViewer, func(k string) error {
			_, err := w.client(k).ShowThread(ctx, connect.NewRequest(&adminv1.ShowThreadRequest{PageId: page, UserId: "1"}))
			return err
		}},
		{"ListApps", RoleViewer, func(k string) error {
			_, err := w.client(k).ListApps(ctx, connect.NewRequest(&adminv1.ListAppsRequest{}))
			return err
		}},
		{"ShowApp", RoleViewer, func(k string) error {
			_, err := w.client(k).ShowApp(ctx, connect.NewRequest(&adminv1.ShowAppRequest{App: "bot"}))
			return err
		}},
		{"Status", RoleViewer, func(k string) error {
			_, err := w.client(k).Status(ctx, connect.NewRequest(&adminv1.StatusRequest{}))
			return err
		}},
		{"VerifyLog", RoleViewer, func(k string) error {
			_, err := w.client(k).VerifyLog(ctx, connect.NewRequest(&adminv1.VerifyLogRequest{}))
			return err
		}},
		{"Replay", RoleViewer, func(k string) error {
			_, err := w.client(k).Replay(ctx, connect.NewRequest(&adminv1.ReplayRequest{}))
			return err
		}},
		{"TailLog", RoleViewer, func(k string) error { _, err := w.tail(ctx, k, &adminv1.TailLogRequest{Partition: -1}, 0); return err }},
		{"Operate", RoleOperator, func(k string) error {
			_, err := w.client(k).Operate(ctx, connect.NewRequest(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "release"}))
			return err
		}},
		{"Inbox", RoleOperator, func(k string) error {
			_, err := w.client(k).Inbox(ctx, connect.NewRequest(&adminv1.InboxRequest{PageId: page, UserId: "1", Verb: "main"}))
			return err
		}},
		{"SteerApp", RoleOperator, func(k string) error {
			_, err := w.client(k).SteerApp(ctx, connect.NewRequest(&adminv1.SteerAppRequest{App: "bot", Verb: "pause"}))
			return err
		}},
		{"Apply", RoleAdmin, func(k string) error {
			_, err := w.client(k).Apply(ctx, connect.NewRequest(&adminv1.ApplyRequest{Document: w.encoded(testRoster)}))
			return err
		}},
	} {
		code(t, rpc.call(""), connect.CodeUnauthenticated)
		code(t, rpc.call("wrong"), connect.CodeUnauthenticated)
		for _, token := range threeTokens {
			err := rpc.call(token.Token)
			if token.Role >= rpc.least && err != nil {
				t.Errorf("%s as %s: %v", rpc.name, token.Role, err)
			}
			if token.Role < rpc.least {
				code(t, err, connect.CodePermissionDenied)
			}
		}
	}
}

func TestTheNameOfTheTokenIsTheActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, threeTokens...)
	_, err := w.client("operate").Operate(brief(t), connect.NewRequest(&adminv1.OperateRequest{PageId: page, UserId: "1", Verb: "take", Target: "agent"}))
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.actor) != 1 || w.actor[0] != "otto" {
		t.Errorf("actors %v, want otto", w.actor)
	}
}
