package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// module is the path of this module.
const module = "github.com/kusto2otlp/kusto2otlp/"

// docs are the doc comments and constants of the module's packages, as far as they
// were asked for.
type docs struct {
	root     string
	packages map[string]*packageDocs
	err      error // of the first package that could not be read
}

// packageDocs is what the source of one package says.
type packageDocs struct {
	types  map[string]string            // doc comments by type
	fields map[string]map[string]string // by type and field
	values map[string][]any             // constants of a string type, in order
}

func newDocs(root string) *docs { return &docs{root: root, packages: map[string]*packageDocs{}} }

// of returns what the source of a type's package says; nothing for other modules.
func (d *docs) of(t reflect.Type) *packageDocs {
	dir, ours := strings.CutPrefix(t.PkgPath(), module)
	if !ours {
		return &packageDocs{}
	}
	if p, ok := d.packages[dir]; ok {
		return p
	}
	p := &packageDocs{types: map[string]string{}, fields: map[string]map[string]string{}, values: map[string][]any{}}
	d.packages[dir] = p
	files, err := filepath.Glob(filepath.Join(d.root, filepath.FromSlash(dir), "*.go"))
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, perr := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if perr != nil {
			err = perr
			break
		}
		for _, decl := range f.Decls {
			if g, ok := decl.(*ast.GenDecl); ok {
				p.add(g)
			}
		}
	}
	if d.err == nil {
		d.err = err
	}
	return p
}

func (p *packageDocs) add(g *ast.GenDecl) {
	for _, spec := range g.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			doc := spec.Doc
			if doc == nil {
				doc = g.Doc
			}
			p.types[spec.Name.Name] = text(doc)
			if s, ok := spec.Type.(*ast.StructType); ok {
				p.addFields(spec.Name.Name, s)
			}
		case *ast.ValueSpec:
			typ, ok := spec.Type.(*ast.Ident)
			if g.Tok != token.CONST || !ok || len(spec.Values) != 1 {
				continue
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if value, err := strconv.Unquote(lit.Value); err == nil {
					p.values[typ.Name] = append(p.values[typ.Name], value)
				}
			}
		}
	}
}

func (p *packageDocs) addFields(typ string, s *ast.StructType) {
	p.fields[typ] = map[string]string{}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			p.fields[typ][name.Name] = text(f.Doc)
		}
		if embedded, ok := f.Type.(*ast.SelectorExpr); ok && len(f.Names) == 0 {
			p.fields[typ][embedded.Sel.Name] = text(f.Doc)
		}
	}
}

// text returns a doc comment on one line.
func text(doc *ast.CommentGroup) string { return strings.Join(strings.Fields(doc.Text()), " ") }
