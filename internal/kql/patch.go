package kql

import (
	"fmt"
	"regexp"
	"strings"
)

// patches are what fast.js cannot reach: they make the same of the same, with fewer calls.
var patches = []struct{ old, new string }{
	// A property without code is a value, and no pair of functions that keep one in a table of the object.
	{
		`return i&&i.get&&(e.get=i.get),i&&i.set&&(e.set=i.set),i&&(i.get||i.set)||(o=Bridge.getTypeAlias(u)+"$"+t,u.$init=u.$init||{},r&&(u.$init[o]=i),`,
		`return i&&i.get&&(e.get=i.get),i&&i.set&&(e.set=i.set),!i||!(i.get||i.set)?(u.$init=u.$init||{},`,
	},
	{
		`function(n,t,i,r){n.get=function(){var n=this.$init[i];return n===undefined?r:n};n.set=function(n){this.$init[i]=n}}(e,n,o,i)),` +
			`Object.defineProperty(n,t,e),e}`,
		`function(e,t){e.get=function(){return this[t]};e.set=function(n){this[t]=n}}(e,t),` +
			`Object.defineProperty(n,t,{value:i,writable:!0,enumerable:!f,configurable:!0}),e):(Object.defineProperty(n,t,e),e)}`,
	},
	// That table is only asked for whether it is there.
	{"_initialize:function(){this.$init||(this.$init={},", "_initialize:function(){this.$init||(this.$init=!0,"},
	// A generic type with one or two arguments, which is asked for thousands of times in a query, is found by them.
	{"l.$cache=[],", "l.$cache=[],l.$of=new Map,"},
	{
		"return l=function(){var t,r,f,u;return(r=Bridge.Class.getCachedType(l,arguments),r)?r.type:(",
		"return l=function(a,b){var t,r,f,u;" +
			"if(arguments.length===1){if(r=l.$of.get(a))return r}else if(arguments.length===2&&(r=l.$of.get(a))&&(r=r.get(b)))return r;" +
			"return(r=Bridge.Class.getCachedType(l,arguments),r)?(arguments.length===1?l.$of.set(a,r.type):" +
			"arguments.length===2&&(l.$of.has(a)||l.$of.set(a,new Map),l.$of.get(a).set(b,r.type)),r.type):(",
	},
	// A hash does not ask for the type of its own constant for every character.
	{
		"hashCode=Bridge.Int.mul(hashCode^text.charCodeAt(i),Kusto.Language.Utils.TextKeyedDictionary$1.Key(TValue).FnvPrime)",
		"hashCode=Math.imul(hashCode^text.charCodeAt(i),16777619)",
	},
}

// noDelegate asks whether a variable has a function.
var noDelegate = regexp.MustCompile(`Bridge\.staticEquals\(([A-Za-z_$]+),null\)`)

// patch applies the patches to the parser's script, each in the one place that it is for.
func patch(script string) (string, error) {
	for _, p := range patches {
		if n := strings.Count(script, p.old); n != 1 {
			return "", fmt.Errorf("the KQL parser must have %q once, has it %d times", p.old, n)
		}
		script = strings.Replace(script, p.old, p.new, 1)
	}
	return noDelegate.ReplaceAllString(withoutBounds(script), "($1==null)"), nil
}

// withoutBounds leaves out the checks that an index is within its array: System.Array.index(i,array)
// becomes (i). What is outside is undefined then, and no exception, which nothing was seen to rely on.
func withoutBounds(script string) string {
	const check = "System.Array.index("
	var b strings.Builder
	b.Grow(len(script))
	for {
		before, after, found := strings.Cut(script, check)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		comma, end := arguments(after)
		if comma < 0 {
			b.WriteString(check)
			script = after
			continue
		}
		// The index may have checks in it, and what follows.
		b.WriteString("(" + withoutBounds(after[:comma]) + ")")
		script = after[end+1:]
	}
}

// arguments returns where the comma between two arguments is, and the parenthesis that closes
// them; -1 where there are not two.
func arguments(script string) (comma, end int) {
	comma = -1
	var quote byte
	depth := 0
	for i := 0; i < len(script); i++ {
		c := script[i]
		switch {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
		case c == '\'' || c == '"':
			quote = c
		case c == '(' || c == '[' || c == '{':
			depth++
		case c == ')' && depth == 0:
			return comma, i
		case c == ')' || c == ']' || c == '}':
			depth--
		case c == ',' && depth == 0:
			if comma >= 0 {
				return -1, -1
			}
			comma = i
		}
	}
	return -1, -1
}
