// Package archtest holds the import law of the house and checks it.
//
// The law (law.go) is a table: who may import whom, and why. Imports are read
// from the source in this process, those of test files and of files for other
// platforms included. Asking the go command instead would let "go test" answer
// from its cache after an import was added.
package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Check reads every Go file below root, the folder of the named module, and
// returns one line for each import that the law forbids, each with its reason,
// and one for each package that no rule covers.
func Check(root, module string) ([]string, error) {
	var faults []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return enter(root, file)
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		imports, err := importsOf(file)
		if err != nil {
			return err
		}
		faults = append(faults, checkFile(rel, imports, module)...)
		return nil
	})
	slices.Sort(faults)
	return slices.Compact(faults), err
}

// enter skips what the go command skips: hidden and underscored folders,
// testdata, and other modules.
func enter(root, dir string) error {
	name := filepath.Base(dir)
	if dir == root {
		return nil
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "node_modules" {
		return filepath.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return filepath.SkipDir
	}
	return nil
}

func importsOf(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	imports := make([]string, 0, len(parsed.Imports))
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("archtest: %s: import %s: %w", file, spec.Path.Value, err)
		}
		imports = append(imports, imported)
	}
	return imports, nil
}

// checkFile judges the imports of one file, given by its path below the root.
func checkFile(file string, imports []string, module string) []string {
	pkg, isTest := path.Dir(file), strings.HasSuffix(file, "_test.go")
	at := slices.IndexFunc(rules, func(r rule) bool { return anyCovers(r.packages, pkg) })
	if at < 0 {
		return []string{pkg + ": no rule covers this package; give it a storey in tools/archtest/law.go"}
	}
	var faults []string
	for _, imported := range imports {
		if why := rules[at].forbids(pkg, imported, module, isTest); why != "" {
			faults = append(faults, fmt.Sprintf("%s imports %s: %s", file, imported, why))
		}
	}
	return faults
}

// forbids returns why pkg may not have the import, or "".
func (r rule) forbids(pkg, imported, module string, isTest bool) string {
	inside, internal := strings.CutPrefix(imported, module+"/")
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case internal && inside == pkg: // the external test of the package itself
		return ""
	case internal && forTests(inside) && !isTest && !forTests(pkg) && !anyCovers([]string{"tools/...", "services/baton/..."}, pkg):
		return "it exists for tests; product code does not import it"
	case internal && (anyCovers(r.may, inside) || isTest && (anyCovers(r.testMay, inside) || forTests(inside) && !anyCovers(core, pkg))):
		return ""
	case internal:
		return r.why
	case !strings.Contains(first, "."):
		if !isTest && anyCovers(subtrees(r.noStd), imported) && !slices.Contains(pureEven, imported) {
			return r.why
		}
		return ""
	}
	for _, home := range homes {
		if covers(home.module+"/...", imported) && !anyCovers(home.packages, pkg) {
			return "only " + strings.Join(home.packages, ", ") + " may: " + home.why
		}
	}
	if anyCovers(subtrees(r.vendor), imported) || isTest && anyCovers(subtrees(testVendor), imported) {
		return ""
	}
	return r.why
}

// covers reports whether the pattern, a path or "path/..." or "...", names pkg.
func covers(pattern, pkg string) bool {
	tree, isTree := strings.CutSuffix(pattern, "...")
	return pkg == pattern || isTree && strings.HasPrefix(pkg+"/", tree)
}

func anyCovers(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return covers(p, pkg) })
}

func subtrees(paths []string) []string {
	trees := make([]string, len(paths))
	for i, p := range paths {
		trees[i] = p
		if !strings.HasSuffix(p, "...") {
			trees[i] = p + "/..."
		}
	}
	return trees
}
