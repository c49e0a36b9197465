package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
)

// CheckSleep returns one line for each time.Sleep in a test file below root
// that does not import testing/synctest: in a bubble a sleep moves the clock
// and takes no time, anywhere else it is a guess at how long something takes.
// (In product code the linter refuses time.Sleep.)
func CheckSleep(root string) ([]string, error) {
	var faults []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(root, file)
		}
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		positions := token.NewFileSet()
		parsed, err := parser.ParseFile(positions, file, nil, 0)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			if spec.Path.Value == `"testing/synctest"` {
				return nil
			}
		}
		for node := range ast.Preorder(parsed) {
			if called, ok := node.(*ast.SelectorExpr); ok && called.Sel.Name == "Sleep" {
				if pkg, ok := called.X.(*ast.Ident); ok && pkg.Name == "time" {
					faults = append(faults, fmt.Sprintf("%s: time.Sleep outside a synctest bubble; wait for a signal", positions.Position(called.Pos())))
				}
			}
		}
		return nil
	})
	return faults, err
}
