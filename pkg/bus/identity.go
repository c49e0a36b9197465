package bus

import (
	"fmt"

	"github.com/nats-io/nats.go"
)

// identity is who the connection is, towards which kind of server.
func (o Options) identity() []nats.Option {
	var opts []nats.Option
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	if o.User != "" {
		opts = append(opts, nats.UserInfo(o.User, o.Password))
	}
	if o.CredentialsFile != "" {
		opts = append(opts, nats.UserCredentials(o.CredentialsFile))
	}
	if o.NKeyFile != "" {
		opts = append(opts, nkey(o.NKeyFile))
	}
	if o.TLS != nil {
		opts = append(opts, nats.Secure(o.TLS))
	}
	return opts
}

// nkey signs the server's challenge with the seed in a file. The seed is read
// again for each signature and not kept.
func nkey(file string) nats.Option {
	return func(c *nats.Options) error {
		option, err := nats.NkeyOptionFromSeed(file)
		if err != nil {
			return fmt.Errorf("nkey in %s: %w", file, err)
		}
		return option(c)
	}
}
