package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"connectrpc.com/connect"
)

// Role is what an admin token lets its bearer do. Each includes those before.
type Role int

// The roles.
const (
	RoleViewer   Role = iota + 1 // read
	RoleOperator                 // move control, steer deliveries
	RoleAdmin                    // change the roster
)

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	switch s {
	case "viewer":
		return RoleViewer, nil
	case "operator":
		return RoleOperator, nil
	case "admin":
		return RoleAdmin, nil
	}
	return 0, fmt.Errorf("console: unknown role %q, want viewer, operator or admin", s)
}

// String is the role's name.
func (r Role) String() string {
	return [...]string{"none", "viewer", "operator", "admin"}[r]
}

// Token lets its bearer use the admin RPCs.
type Token struct {
	Name  string
	Token string
	Role  Role
}

// localOperator is the actor of changes made without a token.
const localOperator = "local"

// access decides who may use the admin listener.
type access struct {
	tokens []hashedToken
	// host is the listener's own host:port: without tokens nothing else is
	// accepted as Host, so that no page in a browser can be rebound to it.
	hosts map[string]bool
}

type hashedToken struct {
	hash [sha256.Size]byte
	name string
	role Role
}

// newAccess prepares the rules of a listener at addr. Without tokens the
// address must be loopback.
func newAccess(addr net.Addr, tokens []Token) (*access, error) {
	a := &access{hosts: map[string]bool{}}
	for _, t := range tokens {
		if t.Name == "" || t.Token == "" || t.Role == 0 {
			return nil, fmt.Errorf("console: admin token %q needs a name, a token and a role", t.Name)
		}
		a.tokens = append(a.tokens, hashedToken{sha256.Sum256([]byte(t.Token)), t.Name, t.Role})
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return nil, fmt.Errorf("console: listener address %s: %w", addr, err)
	}
	if ip := net.ParseIP(host); len(tokens) == 0 && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("console: without admin tokens the admin listener must be loopback, not %s", addr)
	}
	for _, name := range []string{host, "localhost", "127.0.0.1", "::1"} {
		a.hosts[net.JoinHostPort(name, port)] = true
	}
	return a, nil
}

// open paths need no token: what load balancers and monitoring ask. The rules
// for Host and Origin hold for them too.
func open(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/metrics"
}

// guard lets a request through when its caller may use the listener, and tells
// the handlers who it is.
func (a *access) guard(next http.Handler, refused func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		caller, status, reason := a.identify(r)
		if status == http.StatusForbidden || status != 0 && !open(r.URL.Path) {
			refused()
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="baton admin"`)
			}
			http.Error(w, reason, status)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, caller)))
	})
}

// identify says who calls, or why the call is refused.
func (a *access) identify(r *http.Request) (caller, int, string) {
	if len(a.tokens) == 0 {
		return a.local(r)
	}
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return caller{}, http.StatusUnauthorized, "an admin token is needed: Authorization: Bearer … (BATON_ADMIN_TOKEN)"
	}
	hash := sha256.Sum256([]byte(given))
	var who caller
	for _, t := range a.tokens {
		if subtle.ConstantTimeCompare(t.hash[:], hash[:]) == 1 {
			who = caller{t.name, t.role}
		}
	}
	if who.role == 0 {
		return who, http.StatusUnauthorized, "unknown admin token"
	}
	return who, 0, ""
}

// local accepts what comes from this machine's own programs: the listener's own
// Host and no foreign Origin.
func (a *access) local(r *http.Request) (caller, int, string) {
	if !a.hosts[r.Host] {
		return caller{}, http.StatusForbidden, "unexpected Host " + r.Host + ": use the listener's own address"
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		if err != nil || !a.hosts[u.Host] {
			return caller{}, http.StatusForbidden, "foreign Origin " + origin
		}
	}
	return caller{localOperator, RoleAdmin}, 0, ""
}

// only lets callers of a role and above through to a handler that asks for no
// role itself.
func only(role Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := need(r.Context(), role); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// caller is who uses the listener.
type caller struct {
	name string
	role Role
}

type callerKey struct{}

// need returns the caller's name when its role suffices, else a Connect error.
func need(ctx context.Context, role Role) (string, error) {
	who, _ := ctx.Value(callerKey{}).(caller)
	if who.role < role {
		return "", connect.NewError(connect.CodePermissionDenied,
			fmt.Errorf("this needs the role %s; %q is %s", role, who.name, who.role))
	}
	return who.name, nil
}
