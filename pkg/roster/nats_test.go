package roster

import (
	"strings"
	"testing"
)

// What is said about NATS is checked as a whole: an existing server takes one
// way to say who Baton is, the embedded one none.
func TestNATSSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ yaml, fault string }{
		"three servers":           {`{url: "nats://a:4222, nats://b:4222,tls://c:4222", nkey: /etc/baton/nats.nk}`, ""},
		"creds":                   {`{url: "tls://a:4222", creds: /etc/baton/nats.creds, tls: {ca: ca.pem}}`, ""},
		"user":                    {`{url: "nats://a:4222", user: baton, password: secret}`, ""},
		"user in the address":     {`{url: "nats://u:p@a:4222"}`, "nats.user and nats.password"},
		"one of them no address":  {`{url: "nats://a:4222,b:4222"}`, "nats.url: is not a nats://"},
		"an empty one":            {`{url: "nats://a:4222,"}`, "nats.url: is not a nats://"},
		"another scheme":          {`{url: "http://a:4222"}`, "nats.url: is not a nats://"},
		"two identities":          {`{url: "nats://a:4222", creds: c, nkey: n}`, "exclude each other"},
		"password of nobody":      {`{url: "nats://a:4222", password: secret}`, "nats.password: needs nats.user"},
		"readers on a cluster":    {`{url: "nats://a:4222", readers: [{name: crm, password: x}]}`, "nats.readers: are for the embedded server"},
		"half a pair":             {`{url: "tls://a:4222", tls: {cert: c.pem}}`, "nats.tls: cert and key belong together"},
		"identity of no server":   {`{nkey: /etc/baton/nats.nk}`, "nats.nkey: needs nats.url"},
		"creds of no server":      {`{creds: c}`, "nats.creds: needs nats.url"},
		"user of no server":       {`{user: u}`, "nats.user: needs nats.url"},
		"a key that is not known": {`{url: "nats://a:4222", nkeys: n}`, "nkeys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(Source{Name: "baton.yaml", Data: []byte("platform: {graph_url: simulator}\nnats: " + c.yaml + "\n")})
			switch {
			case c.fault == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("want %q, got %v", c.fault, err)
			}
		})
	}
}
