package graph

import "strings"

// Path is a request's path: /{version}/{node}/{edge}.
type Path struct {
	Version string // "v25.0"; empty when the path names none
	Node    string // "me", an id, or a root edge such as debug_token
	Edge    string // empty for the node itself
}

// ParsePath takes a URL's decoded path apart. Any version is accepted and none;
// empty segments and a trailing slash do not count. An empty Node is the root,
// which takes batches. The error is an *Error with code 2500 when there is more
// than node and edge.
func ParsePath(path string) (Path, error) {
	segments := make([]string, 0, 4)
	for segment := range strings.SplitSeq(path, "/") {
		if segment != "" {
			segments = append(segments, segment)
		}
	}
	var p Path
	if len(segments) > 0 && isVersion(segments[0]) {
		p.Version, segments = segments[0], segments[1:]
	}
	if len(segments) > 0 {
		p.Node = segments[0]
	}
	if len(segments) > 1 {
		p.Edge = segments[1]
	}
	if len(segments) > 2 {
		return p, UnknownPath("/" + strings.Join(segments[2:], "/"))
	}
	return p, nil
}

// IsRoot reports whether the path is the batch root.
func (p Path) IsRoot() bool { return p.Node == "" }

// IsMe reports whether the node is the token's own.
func (p Path) IsMe() bool { return p.Node == "me" }

// NodeID is the node when it is a decimal id.
func (p Path) NodeID() (uint64, bool) { return parseID(p.Node) }

// isVersion reports whether s is v, digits, a point and digits.
func isVersion(s string) bool {
	rest, ok := strings.CutPrefix(s, "v")
	major, minor, dotted := strings.Cut(rest, ".")
	return ok && dotted && allDigits(major) && allDigits(minor)
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
