package graph

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxProperty bounds a property of messenger_profile, in bytes.
const MaxProperty = 64 << 10

// Property is a property of messenger_profile with its value as JSON.
type Property struct {
	Name  string
	Value json.RawMessage
}

// property says how a property of messenger_profile is checked.
type property struct {
	name  string
	check func(raw []byte) string // what is wrong, or ""
}

// profileProperties are the properties in the order of the documentation.
// Source: protocol 2.3.
//
//nolint:gochecknoglobals // a constant table
var profileProperties = []property{
	{"get_started", checkGetStarted},
	{"greeting", checkGreeting},
	{"persistent_menu", checkMenu},
	{"ice_breakers", checkIceBreakers},
	{"whitelisted_domains", checkDomains},
	{"commands", checkCommands},
	{"account_linking_url", checkLinking},
}

// ProfileProperties are the names of the properties of messenger_profile.
func ProfileProperties() []string {
	names := make([]string, len(profileProperties))
	for i, p := range profileProperties {
		names[i] = p.name
	}
	return names
}

// DecodeProfile reads a POST of messenger_profile: the properties it sets, in
// the order of ProfileProperties. Other parameters do not count. The error is
// an *Error with code 100 that names the property and what is wrong with it.
func DecodeProfile(p Params) ([]Property, error) {
	var set []Property
	for _, known := range profileProperties {
		if !p.Has(known.name) {
			continue
		}
		value, err := propertyValue(p, known)
		if err != nil {
			return nil, err
		}
		set = append(set, Property{known.name, value})
	}
	if len(set) == 0 {
		return nil, InvalidParameter("Requires one of the params: " + strings.Join(ProfileProperties(), ","))
	}
	return set, nil
}

func propertyValue(p Params, known property) (json.RawMessage, error) {
	value := marshal(p.Text(known.name))
	if known.name != "account_linking_url" { // the only one that is plain text
		raw, _, err := p.JSON(known.name)
		if err != nil {
			return nil, err
		}
		value = raw
	}
	if len(value) > MaxProperty {
		return nil, InvalidParameter(fmt.Sprintf("Param %s is longer than %d bytes", known.name, MaxProperty))
	}
	if fault := known.check(value); fault != "" {
		return nil, InvalidParameter("Param " + known.name + fault)
	}
	return value, nil
}

// DecodeProfileFields reads the parameter fields of a DELETE of
// messenger_profile. The error is an *Error with code 100.
func DecodeProfileFields(p Params) ([]string, error) {
	fields := p.List("fields")
	if len(fields) == 0 {
		return nil, MissingParameter("fields")
	}
	for i, name := range fields { // enums are written in either case
		if fields[i] = strings.ToLower(name); !slices.Contains(ProfileProperties(), fields[i]) {
			return nil, NotOneOf(fmt.Sprintf("fields[%d]", i), name, ProfileProperties())
		}
	}
	return fields, nil
}

// Bounds of the documentation, in characters and entries.
const (
	maxPayload       = 1000
	maxGreeting      = 160
	maxMenuItems     = 20
	maxMenuTitle     = 30
	maxIceBreakers   = 4
	maxQuestion      = 80
	maxDomains       = 50
	maxCommandName   = 32
	maxCommandText   = 64
	maxLocales       = 100
	wrongType        = " has a field of the wrong type"
	mustBeArray      = " must be an array with at least one entry"
	needsDefault     = ` must have an entry with the locale "default"`
	localeIsRequired = "[locale] is required"
)

// list reads a JSON array of T into out; the text says what is wrong.
func list[T any](raw []byte, out *[]T) string {
	switch {
	case len(raw) == 0 || raw[0] != '[':
		return mustBeArray
	case json.Unmarshal(raw, out) != nil:
		return wrongType
	case len(*out) == 0:
		return mustBeArray
	case len(*out) > maxLocales:
		return fmt.Sprintf(" has more than %d entries", maxLocales)
	}
	return ""
}

// locales checks the locales of a list: each is there, once, and one of them is
// the default.
func locales[T any](entries []T, locale func(T) string) string {
	seen := map[string]bool{}
	for _, e := range entries {
		switch name := locale(e); {
		case name == "":
			return localeIsRequired
		case seen[name]:
			return " has the locale " + name + " twice"
		default:
			seen[name] = true
		}
	}
	if !seen["default"] {
		return needsDefault
	}
	return ""
}

// length checks a text that must be there and not be too long.
func length(name, text string, most int) string {
	switch {
	case text == "":
		return "[" + name + "] is required"
	case utf8.RuneCountInString(text) > most:
		return fmt.Sprintf("[%s] must be at most %d characters long", name, most)
	}
	return ""
}

// first is the first fault of a list of checks.
func first(faults ...string) string {
	for _, f := range faults {
		if f != "" {
			return f
		}
	}
	return ""
}

func checkGetStarted(raw []byte) string {
	var v struct {
		Payload string `json:"payload"`
	}
	if !isObject(raw) || json.Unmarshal(raw, &v) != nil {
		return " must be an object with a payload"
	}
	return length("payload", v.Payload, maxPayload)
}

func checkGreeting(raw []byte) string {
	type greeting struct{ Locale, Text string }
	var v []greeting
	if fault := list(raw, &v); fault != "" {
		return fault
	}
	for _, g := range v {
		if fault := length("text", g.Text, maxGreeting); fault != "" {
			return fault
		}
	}
	return locales(v, func(g greeting) string { return g.Locale })
}

func checkDomains(raw []byte) string {
	var v []string
	if fault := list(raw, &v); fault != "" {
		return fault
	}
	if len(v) > maxDomains {
		return fmt.Sprintf(" has more than %d entries", maxDomains)
	}
	for _, domain := range v {
		if !isAddress(domain, "https") {
			return " must hold https URLs only"
		}
	}
	return ""
}

func checkCommands(raw []byte) string {
	type commands struct {
		Locale   string
		Commands []struct{ Name, Description string }
	}
	var v []commands
	if fault := list(raw, &v); fault != "" {
		return fault
	}
	for _, c := range v {
		for _, command := range c.Commands {
			fault := first(length("name", command.Name, maxCommandName), length("description", command.Description, maxCommandText))
			if fault != "" {
				return fault
			}
		}
	}
	return locales(v, func(c commands) string { return c.Locale })
}

func checkLinking(raw []byte) string {
	if text, _ := stringOf(raw); !isAddress(text, "https") {
		return " must be an https URL"
	}
	return ""
}

// isAddress reports whether text is an absolute URL of one of the schemes.
func isAddress(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}
