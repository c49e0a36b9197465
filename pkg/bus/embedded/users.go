package embedded

import (
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// inProcess is the server's name for connections that do not come over a
// network.
const inProcess = "IN_PROCESS"

// setUsers sets who may do what.
func setUsers(opts *server.Options, o Options, password string) {
	opts.Users = []*server.User{{
		Username:               UserBaton,
		Password:               password,
		AllowedConnectionTypes: map[string]struct{}{inProcess: {}},
	}}
	if o.Listen == "" {
		return
	}
	host, _, err := o.address()
	if err == nil && isLoopback(host) {
		opts.Users = append(opts.Users, &server.User{Username: UserReader, Permissions: readerPermissions(nil)})
		opts.NoAuthUser = UserReader
	}
	for _, r := range o.Readers {
		opts.Users = append(opts.Users, &server.User{
			Username: r.Name, Password: r.Password, Permissions: readerPermissions(r.Pages),
		})
	}
}

// readerPermissions is all that a consumer may do: information about
// BATON_CONTROL, its own pull consumers on it, acknowledgements, and direct
// reads.
func readerPermissions(pages []uint64) *server.Permissions {
	allow := []string{
		"$JS.API.STREAM.INFO.BATON_CONTROL",
		"$JS.API.CONSUMER.INFO.BATON_CONTROL.*",
		"$JS.API.CONSUMER.MSG.NEXT.BATON_CONTROL.*",
		"$JS.API.CONSUMER.DELETE.BATON_CONTROL.*",
		"$JS.ACK.BATON_CONTROL.>",
	}
	if len(pages) == 0 {
		allow = append(allow,
			"$JS.API.CONSUMER.CREATE.BATON_CONTROL.>",
			"$JS.API.DIRECT.GET.BATON_CONTROL",
			"$JS.API.DIRECT.GET.BATON_CONTROL.>",
		)
	}
	for _, page := range pages {
		subject := "baton.control.v1.*." + strconv.FormatUint(page, 10) + ".>"
		allow = append(allow,
			"$JS.API.CONSUMER.CREATE.BATON_CONTROL.*."+subject,
			"$JS.API.DIRECT.GET.BATON_CONTROL."+subject,
		)
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: allow},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
}
