package graphapi

import (
	"encoding/json"
	"strings"

	"github.com/baton-router/baton/pkg/graph"
)

// pieces splits the parameter fields at its outer commas: a piece is a field's
// name, with what an expansion adds to it, edge.limit(3){id,message}. A JSON array
// of pieces is taken too.
func pieces(fields string) []string {
	var list []string
	if json.Unmarshal([]byte(fields), &list) == nil {
		return list
	}
	depth, start := 0, 0
	for i, r := range fields {
		switch r {
		case '{', '(':
			depth++
		case '}', ')':
			depth--
		case ',':
			if depth == 0 {
				list, start = append(list, fields[start:i]), i+1
			}
		}
	}
	list = append(list, fields[start:])
	kept := list[:0]
	for _, piece := range list {
		if piece = strings.TrimSpace(piece); piece != "" {
			kept = append(kept, piece)
		}
	}
	return kept
}

// fieldName is the name in front of an expansion.
func fieldName(piece string) string {
	if end := strings.IndexAny(piece, "{.("); end >= 0 {
		return piece[:end]
	}
	return piece
}

// checkFields refuses fields that would reach round the app's list of edges: the
// page's token, an expansion of an edge that is not on the list, and an edge
// that Baton answers itself.
func (s *Service) checkFields(c *call, own bool, fields string) error {
	if strings.Contains(fields, "access_token") {
		return graph.InvalidParameter("Param fields must not ask for access_token")
	}
	if !own || c.path.Edge != "" {
		return nil
	}
	for _, piece := range pieces(fields) {
		name := fieldName(piece)
		_, ours := s.routes[name]
		_, bound := s.unbound[name]
		switch {
		case name != "" && (ours || bound):
			return graph.InvalidParameter("Param fields: " + name + " is an edge of its own, call it by itself")
		case piece != name && !c.caller.App.PassThroughEdges[name] && !parts[name]:
			return graph.InvalidParameter("Param fields must not expand " + name)
		}
	}
	return nil
}

// parts are fields of a page that are objects, not edges.
//
//nolint:gochecknoglobals // a constant table
var parts = map[string]bool{"picture": true, "cover": true, "location": true, "hours": true}
