package bus

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// Announce tells all who listen to a name, on any node, now. Nothing is stored:
// who does not listen at the moment never hears of it. name is one or more
// tokens separated by dots; data at most the server's payload limit.
func (c *Conn) Announce(name string, data []byte) error {
	if !plainTokens(name) {
		return fmt.Errorf("%w: name %q of a notice", ErrInvalid, name)
	}
	if err := c.work.Publish(subjectNote+name, data); err != nil {
		return fmt.Errorf("announce %s: %w", name, callError(err))
	}
	return nil
}

// Listen calls fn with the name and content of every notice under name, one
// after the other; fn must not block and owns data. The last token of name may
// be * (one token) or > (the rest). It returns when the server knows of the
// subscription; stop ends it and must not be called by fn.
func (c *Conn) Listen(name string, fn func(name string, data []byte)) (stop func(), err error) {
	plain := strings.TrimSuffix(strings.TrimSuffix(name, ".>"), ".*")
	if !plainTokens(plain) {
		return nil, fmt.Errorf("%w: name %q of a notice", ErrInvalid, name)
	}
	return c.subscribe(subjectNote+name, func(m *nats.Msg) {
		fn(strings.TrimPrefix(m.Subject, subjectNote), m.Data)
	})
}
