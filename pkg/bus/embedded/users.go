package embedded

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// inProcess is the server's name for connections that do not come over a
// network.
const inProcess = "IN_PROCESS"

// accountBaton is the account that has the streams. Every reader has an account
// of its own that imports what it may ask for and nothing else. Permissions
// alone would not do: the server publishes its answers, and what a consumer
// pushes, on whatever subject a request names, without looking at the
// requester's permissions. Within one account a reader could thus write on
// baton.log.0; from an account of its own it reaches only itself.
const accountBaton = "BATON"

// Consumer names of readers with pages; see Reader.
const (
	durablesPerReader = 9
	orderedPerReader  = 256
)

// setUsers sets who may do what.
func setUsers(opts *server.Options, o Options, password string) error {
	readers := o.identities()
	if err := opts.ProcessConfigString(accountsConfig(readers)); err != nil {
		return fmt.Errorf("start embedded NATS: accounts: %w", err)
	}
	accounts := make(map[string]*server.Account, len(opts.Accounts))
	for _, a := range opts.Accounts {
		accounts[a.Name] = a
	}
	opts.Users = []*server.User{{
		Username:               UserBaton,
		Password:               password,
		Account:                accounts[accountBaton],
		AllowedConnectionTypes: map[string]struct{}{inProcess: {}},
	}}
	for _, r := range readers {
		opts.Users = append(opts.Users, &server.User{
			Username: r.Name, Password: r.Password, Account: accounts[accountOf(r)], Permissions: r.permissions(),
		})
		if r.Name == UserReader {
			opts.NoAuthUser = UserReader
		}
	}
	return nil
}

// identities returns all readers, the one without credentials included when the
// address allows it.
func (o Options) identities() []Reader {
	host, _, err := o.address()
	if o.Listen == "" || err != nil {
		return nil
	}
	readers := slices.Clone(o.Readers)
	if isLoopback(host) {
		readers = append(readers, Reader{Name: UserReader})
	}
	return readers
}

func accountOf(r Reader) string { return "READER_" + r.Name }

// accountsConfig writes the accounts in the server's own configuration
// language. Names hold letters, digits, - and _ alone.
func accountsConfig(readers []Reader) string {
	var exports, accounts strings.Builder
	for _, s := range shared() {
		fmt.Fprintf(&exports, "{service: %q, response_type: stream}\n", s)
	}
	for _, r := range readers {
		fmt.Fprintf(&exports, "{service: %q, accounts: [%q]}\n", guard(r)+">", accountOf(r))
		fmt.Fprintf(&accounts, "%q: {imports: [\n", accountOf(r))
		for _, s := range shared() {
			fmt.Fprintf(&accounts, "{service: {account: %s, subject: %q}}\n", accountBaton, s)
		}
		for _, g := range guarded() {
			fmt.Fprintf(&accounts, "{service: {account: %s, subject: %q}, to: %q}\n", accountBaton, guard(r)+g, "$JS.API."+g)
		}
		accounts.WriteString("]}\n")
	}
	return fmt.Sprintf("accounts: {\n%s: {jetstream: enabled, exports: [\n%s]}\n%s}\n", accountBaton, &exports, &accounts)
}

// shared lists what readers ask the server itself.
func shared() []string {
	return []string{
		"$JS.API.CONSUMER.INFO.BATON_CONTROL.*",
		"$JS.API.CONSUMER.DELETE.BATON_CONTROL.*",
		"$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.*",
		"$JS.API.DIRECT.GET.BATON_CONTROL",
		"$JS.API.DIRECT.GET.BATON_CONTROL.>",
		"$JS.ACK.BATON_CONTROL.>",
	}
}

// guarded lists what readers ask through Baton (bus.Conn.ServeReaders), which
// looks into the request. INFO is there so that the server does not add an
// import of its whole API to an account that has none of it.
func guarded() []string {
	return []string{"INFO", "STREAM.INFO.BATON_CONTROL", "CONSUMER.CREATE.BATON_CONTROL.>"}
}

func guard(r Reader) string { return "baton.guard." + r.Name + "." }

// permissions narrows what the account imports.
func (r Reader) permissions() *server.Permissions {
	allow := []string{"$JS.API.STREAM.INFO.BATON_CONTROL", "$JS.API.CONSUMER.CREATE.BATON_CONTROL.>"}
	if len(r.Pages) == 0 {
		allow = append(allow, shared()...)
	}
	for _, page := range r.Pages {
		allow = append(allow, "$JS.API.DIRECT.GET.BATON_CONTROL.baton.control.v1.*."+strconv.FormatUint(page, 10)+".*")
	}
	for _, name := range r.consumers() {
		allow = append(allow,
			"$JS.API.CONSUMER.INFO.BATON_CONTROL."+name,
			"$JS.API.CONSUMER.DELETE.BATON_CONTROL."+name,
			"$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL."+name,
			"$JS.ACK.BATON_CONTROL."+name+".>",
		)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: allow},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
}

// consumers returns the names of consumers that a reader with pages may have.
func (r Reader) consumers() []string {
	if len(r.Pages) == 0 {
		return nil
	}
	names := []string{r.Name}
	for i := range durablesPerReader {
		names = append(names, r.Name+"-"+strconv.Itoa(i+1))
	}
	for i := range orderedPerReader {
		names = append(names, r.Name+"_"+strconv.Itoa(i+1))
	}
	return names
}

// Access returns who may read which pages of the control-change topic (none:
// all), as bus.Conn.ServeReaders takes it.
func (s *Server) Access() map[string][]uint64 {
	access := make(map[string][]uint64, len(s.readers))
	for _, r := range s.readers {
		access[r.Name] = slices.Clone(r.Pages)
	}
	return access
}
