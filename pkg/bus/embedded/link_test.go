package embedded

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

// TestServerServesAsItIsLinked reads in the server's source that the function
// which is linked in by name still takes and returns what serveConn says: the
// linker looks at names alone.
func TestServerServesAsItIsLinked(t *testing.T) {
	t.Parallel()
	pkg, err := build.Import("github.com/nats-io/nats-server/v2/server", ".", build.FindOnly)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := parser.ParseDir(token.NewFileSet(), pkg.Dir, nil, parser.SkipObjectResolution) //nolint:staticcheck // declarations are all that is looked at
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range sources["server"].Files {
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "createClientInProcess" {
				found = append(found, types.ExprString(f.Recv.List[0].Type)+": "+types.ExprString(f.Type))
			}
		}
	}
	if want := "*Server: func(conn net.Conn) *client"; len(found) != 1 || found[0] != want {
		t.Fatalf("the server has %q, want %q alone: serveConn must be declared like it", found, want)
	}
}
