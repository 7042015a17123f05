// Package deptest keeps the dependency arrows of a module true: a test states
// which packages a room may not reach, each with the reason, and a broken arrow
// fails with the shortest chain of imports that breaks it.
//
//	g := deptest.Load(t, deptest.Pure)
//	g.ForbidDeps(t, "./jingle/...", map[string]string{
//		"github.com/pion/...": "the protocol library works without a media stack",
//	})
//
// Only what is built counts; the imports of tests do not.
package deptest

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Build is one way to build the module.
type Build struct {
	Tags string // as for go build -tags
	Cgo  bool
	Dir  string // any directory in the module; empty is the working directory
}

// The two ways Carillon is built.
var (
	Pure   = Build{}
	Native = Build{Tags: "native", Cgo: true}
)

// A Package is what go list says of a package, as far as rules need it.
type Package struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Standard   bool
	Module     *struct {
		Path string
		Main bool
	}
}

func (p *Package) ours() bool { return p.Module != nil && p.Module.Main }

// A Graph is every package of the module and everything they depend on.
type Graph struct {
	module string
	pkgs   map[string]*Package
	order  []string // the module's own packages, sorted
}

// Load lists the module's packages as b builds them.
func Load(t testing.TB, b Build) *Graph {
	t.Helper()
	g, err := load(b)
	if err != nil {
		t.Fatalf("load packages: %v", err)
	}
	return g
}

func load(b Build) (*Graph, error) {
	// The pattern is rooted at the module, not at the directory of the test.
	root, err := goOutput(b, "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return nil, err
	}
	if b.Dir = strings.TrimSpace(string(root)); b.Dir == "" {
		return nil, errors.New("not in a module")
	}
	out, err := goOutput(b, "list", "-e", "-deps", "-json=ImportPath,Dir,GoFiles,CgoFiles,Imports,Standard,Module", "-tags", b.Tags, "./...")
	if err != nil {
		return nil, err
	}
	g := &Graph{pkgs: make(map[string]*Package)}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p Package
		if err := dec.Decode(&p); err != nil {
			if errors.Is(err, io.EOF) {
				break
			}
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		g.pkgs[p.ImportPath] = &p
		if p.ours() {
			g.module = p.Module.Path
			g.order = append(g.order, p.ImportPath)
		}
	}
	if len(g.order) == 0 {
		return nil, fmt.Errorf("no packages in %s", b.Dir)
	}
	slices.Sort(g.order)
	return g, nil
}

func goOutput(b Build, args ...string) ([]byte, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = b.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if b.Cgo {
		cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// A Violation is a broken arrow.
type Violation struct {
	Chain  []string // import paths (or file and identifier) from the room to what is forbidden
	Reason string
}

func (v Violation) String() string {
	return strings.Join(v.Chain, " -> ") + ": " + v.Reason
}

// ForbidDeps fails the test when a package matched by pattern depends, directly
// or through others, on a forbidden one. Keys of reasons are import paths or
// patterns ending in "/..."; "./..." patterns are relative to the module.
// Values say why.
func (g *Graph) ForbidDeps(t testing.TB, pattern string, reasons map[string]string) {
	t.Helper()
	report(t, g.deps(pattern, reasons))
}

// ForbidImports is ForbidDeps for what the packages' own files import.
func (g *Graph) ForbidImports(t testing.TB, pattern string, reasons map[string]string) {
	t.Helper()
	report(t, g.imports(pattern, reasons))
}

// ForbidUses fails the test when a file of a matched package names a forbidden
// identifier of an imported package, written as "time.Now".
func (g *Graph) ForbidUses(t testing.TB, pattern string, reasons map[string]string) {
	t.Helper()
	vs, err := g.uses(pattern, reasons)
	if err != nil {
		t.Errorf("parse packages of %s: %v", pattern, err)
	}
	report(t, vs)
}

// AllowCgo fails the test when one of the module's packages that is not matched
// by a pattern contains C, or imports a package outside the standard library
// that does.
func (g *Graph) AllowCgo(t testing.TB, reason string, patterns ...string) {
	t.Helper()
	report(t, g.cgo(reason, patterns))
}

// Match returns the module's own packages that match pattern.
func (g *Graph) Match(pattern string) []*Package {
	var out []*Package
	for _, p := range g.order {
		if g.matches(pattern, p) {
			out = append(out, g.pkgs[p])
		}
	}
	return out
}

func report(t testing.TB, vs []Violation) {
	t.Helper()
	for _, v := range vs {
		t.Errorf("forbidden dependency: %s", v)
	}
}

// matches reports whether importPath is matched by pattern.
func (g *Graph) matches(pattern, importPath string) bool {
	if rel, ok := strings.CutPrefix(pattern, "./"); ok {
		pattern = path.Join(g.module, rel)
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return importPath == base || strings.HasPrefix(importPath, base+"/")
	}
	return importPath == pattern
}

func (g *Graph) forbidden(importPath string, reasons map[string]string) (reason string, ok bool) {
	for pattern, reason := range reasons {
		if g.matches(pattern, importPath) {
			return reason, true
		}
	}
	return "", false
}

func (g *Graph) deps(pattern string, reasons map[string]string) []Violation {
	var out []Violation
	for _, room := range g.Match(pattern) {
		// Breadth first, so that the first chain found is a shortest one.
		from := map[string]string{room.ImportPath: ""}
		for queue := []string{room.ImportPath}; len(queue) > 0; queue = queue[1:] {
			p := g.pkgs[queue[0]]
			if p == nil {
				continue
			}
			for _, imp := range p.Imports {
				if _, seen := from[imp]; seen {
					continue
				}
				from[imp] = p.ImportPath
				if reason, ok := g.forbidden(imp, reasons); ok {
					out = append(out, Violation{chain(from, imp), reason})
					continue // what lies behind it is its own affair
				}
				queue = append(queue, imp)
			}
		}
	}
	return out
}

func chain(from map[string]string, to string) []string {
	var c []string
	for p := to; p != ""; p = from[p] {
		c = append(c, p)
	}
	slices.Reverse(c)
	return c
}

func (g *Graph) imports(pattern string, reasons map[string]string) []Violation {
	var out []Violation
	for _, p := range g.Match(pattern) {
		for _, imp := range p.Imports {
			if reason, ok := g.forbidden(imp, reasons); ok {
				out = append(out, Violation{[]string{p.ImportPath, imp}, reason})
			}
		}
	}
	return out
}

func (g *Graph) uses(pattern string, reasons map[string]string) ([]Violation, error) {
	var out []Violation
	fset := token.NewFileSet()
	for _, p := range g.Match(pattern) {
		for _, name := range slices.Concat(p.GoFiles, p.CgoFiles) {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				return out, err
			}
			imported := localNames(f)
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				x, ok := sel.X.(*ast.Ident)
				if !ok || imported[x.Name] == "" {
					return true
				}
				if reason, ok := reasons[imported[x.Name]+"."+sel.Sel.Name]; ok {
					at := fmt.Sprintf("%s/%s:%d", p.ImportPath, name, fset.Position(sel.Pos()).Line)
					out = append(out, Violation{[]string{at, imported[x.Name] + "." + sel.Sel.Name}, reason})
				}
				return true
			})
		}
	}
	return out, nil
}

// localNames maps the name a file uses for each import to its path.
func localNames(f *ast.File) map[string]string {
	m := make(map[string]string)
	for _, imp := range f.Imports {
		p := strings.Trim(imp.Path.Value, `"`)
		name := path.Base(p)
		if imp.Name != nil {
			name = imp.Name.Name
		}
		m[name] = p
	}
	return m
}

func (g *Graph) cgo(reason string, allowed []string) []Violation {
	var out []Violation
	for _, path := range g.order {
		if slices.ContainsFunc(allowed, func(pattern string) bool { return g.matches(pattern, path) }) {
			continue
		}
		p := g.pkgs[path]
		if len(p.CgoFiles) > 0 {
			out = append(out, Violation{[]string{path + "/" + p.CgoFiles[0], "C"}, reason})
		}
		for _, imp := range p.Imports {
			if q := g.pkgs[imp]; q != nil && !q.Standard && !q.ours() && len(q.CgoFiles) > 0 {
				out = append(out, Violation{[]string{path, imp, "C"}, reason})
			}
		}
	}
	return out
}
