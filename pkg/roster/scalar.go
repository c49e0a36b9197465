package roster

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a span in Go's form ("36h", "1h30m"); "0" is zero.
type Duration time.Duration

// UnmarshalText reads Go's form.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	span, err := time.ParseDuration(s)
	if err != nil {
		if days, ok := strings.CutSuffix(s, "d"); ok {
			if n, err := strconv.Atoi(days); err == nil && n >= 0 && n < 100000 {
				return fmt.Errorf("%q is not a duration; write %dh", s, 24*n)
			}
		}
		return fmt.Errorf(`%q is not a duration; write it as "36h" or "1h30m"`, s)
	}
	if span < 0 {
		return fmt.Errorf("%q is negative", s)
	}
	*d = Duration(span)
	return nil
}

// MarshalText writes Go's form.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is Go's form without trailing zero units ("36h").
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Bytes is a size: a number, or one with the suffix KiB, MiB or GiB.
type Bytes int64

// UnmarshalText reads a number with or without a suffix.
func (b *Bytes) UnmarshalText(text []byte) error {
	s, unit := string(text), int64(1)
	for suffix, size := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if head, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(head), size
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf(`%q is not a size; write bytes, or "512MiB"`, string(text))
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText writes the number of bytes.
func (b Bytes) MarshalText() ([]byte, error) { return strconv.AppendInt(nil, int64(b), 10), nil }

// Secret is a value that is never shown: a literal, or a reference env:NAME or
// file:PATH that Load resolves. Only [Secret.Value] and the stored document
// reveal it.
type Secret struct {
	source   string
	value    string
	resolved bool
}

// NewSecret is a resolved secret with the given value.
func NewSecret(value string) Secret { return Secret{source: value, value: value, resolved: true} }

// UnmarshalText keeps the text; a literal is its own value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret{source: string(text)}
	if !s.reference() {
		*s = NewSecret(string(text))
	}
	return nil
}

// Value is the secret itself; "" while it is a reference that was not resolved.
func (s Secret) Value() string { return s.value }

// IsZero reports whether nothing was given.
func (s Secret) IsZero() bool { return s.source == "" && s.value == "" }

// Equal reports whether both are the same secret, in constant time.
func (s Secret) Equal(o Secret) bool {
	return s.resolved == o.resolved && subtle.ConstantTimeCompare([]byte(s.identity()), []byte(o.identity())) == 1
}

// String hides the value: it is the reference, or "(hidden)".
func (s Secret) String() string {
	switch {
	case s.reference():
		return s.source
	case s.IsZero():
		return ""
	}
	return "(hidden)"
}

// GoString hides the value.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue hides the value in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalYAML hides the value in printed configurations.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// MarshalJSON writes the value: the stored document needs it to sign.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.value) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var value string
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	*s = Secret{}
	if value != "" {
		*s = NewSecret(value)
	}
	return nil
}

func (s Secret) reference() bool {
	return strings.HasPrefix(s.source, "env:") || strings.HasPrefix(s.source, "file:")
}

// identity is what makes two secrets the same.
func (s Secret) identity() string {
	if s.resolved {
		return s.value
	}
	return s.source
}

// resolve looks the reference up. Errors name the reference, never a value.
func (s *Secret) resolve(env func(string) (string, bool), readFile func(string) ([]byte, error)) error {
	if s.resolved || s.source == "" {
		return nil
	}
	var value string
	if name, ok := strings.CutPrefix(s.source, "env:"); ok {
		if value, ok = env(name); !ok {
			return fmt.Errorf("%s: the environment variable is not set", s.source)
		}
	} else {
		data, err := readFile(strings.TrimPrefix(s.source, "file:"))
		if err != nil {
			return fmt.Errorf("%s: %w", s.source, err)
		}
		value = strings.TrimRight(string(data), "\r\n")
	}
	if value == "" {
		return errors.New(s.source + " is empty")
	}
	s.value, s.resolved = value, true
	return nil
}
