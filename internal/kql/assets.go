package kql

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// ErrNotBuiltIn is what Open returns when the binary was built before the parser had been fetched.
var ErrNotBuiltIn = errors.New(`the KQL parser is not built in: run "make kql" and build again`)

// assets always holds at least .gitignore ("all:" includes it), so that a bare clone compiles.
//
//go:embed all:assets
var assets embed.FS

//go:embed analyze.js
var glue string

//go:embed fast.js
var fast string

//go:embed NOTICES
var notices string

// Notices are the licences and copyright notices of the embedded parser.
func Notices() string { return notices }

// bundle is the parser's script, unpacked from the file system that fetch.sh fills.
func bundle(files fs.FS) (string, error) {
	packed, err := fs.ReadFile(files, "assets/kusto.js.gz")
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotBuiltIn
	}
	if err != nil {
		return "", fmt.Errorf("read the KQL parser: %w", err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", fmt.Errorf("unpack the KQL parser: %w", err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return "", fmt.Errorf("unpack the KQL parser: %w", err)
	}
	return string(text), nil
}

// patches are what fast.js cannot reach: they make the same of the same, with fewer calls. A generic
// type with one argument, which is asked for thousands of times in a query, is found by it; and a hash
// does not ask for the type of its own constant for every character.
var patches = []struct{ old, new string }{
	{"l.$cache=[],", "l.$cache=[],l.$of=new Map,"},
	{
		"return l=function(){var t,r,f,u;return(r=Bridge.Class.getCachedType(l,arguments),r)?r.type:(",
		"return l=function(a){var t,r,f,u;if(arguments.length===1&&(r=l.$of.get(a)))return r;" +
			"return(r=Bridge.Class.getCachedType(l,arguments),r)?(arguments.length===1&&l.$of.set(a,r.type),r.type):(",
	},
	{
		"hashCode=Bridge.Int.mul(hashCode^text.charCodeAt(i),Kusto.Language.Utils.TextKeyedDictionary$1.Key(TValue).FnvPrime)",
		"hashCode=Math.imul(hashCode^text.charCodeAt(i),16777619)",
	},
}

// patch applies the patches to the parser's script, each in the one place that it is for.
func patch(script string) (string, error) {
	for _, p := range patches {
		if n := strings.Count(script, p.old); n != 1 {
			return "", fmt.Errorf("the KQL parser must have %q once, has it %d times", p.old, n)
		}
		script = strings.Replace(script, p.old, p.new, 1)
	}
	return script, nil
}
