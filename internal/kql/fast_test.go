package kql

import (
	"fmt"
	"strings"
	"testing"
)

// What fast.js and the patches make faster must say the same as without them, byte for byte.
func TestFast(t *testing.T) {
	mustOpen(t) // skips where there is no parser, or where it is too slow
	script, err := bundle(assets)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch(script)
	if err != nil {
		t.Fatal(err)
	}
	schema := mustOpenSchema(t)
	// What operators and functions of several signatures make of each pair of types, which is remembered: here and
	// in the checks that follow.
	literals := []string{"1", "1.5", "'a'", "true", "datetime(2020)", "1h", "dynamic([1])"}
	if testing.Short() {
		literals = literals[:3]
	}
	var pairs []string
	for _, form := range []string{"%s + %s", "-%s == %s", "bin(%s, %s)", "%s between (%s .. 1h)"} {
		text := "print "
		for _, a := range literals {
			for _, b := range literals {
				text += fmt.Sprintf(form, a, b) + ", "
			}
		}
		pairs = append(pairs, text+"1")
	}
	answers := func(scripts ...string) []string {
		v, err := newVM(t.Context(), scripts...)
		if err != nil {
			t.Fatal(err)
		}
		defer v.close()
		if _, err := v.call(t.Context(), "setSchema", schema.json); err != nil {
			t.Fatal(err)
		}
		var list []string
		for _, q := range append(pairs,
			"ErrorEvents | summarize n = count(), p = percentiles(SuccessEvent, 5, 95) by ServiceName, bin(Timestamp, 1m)",
			"let f = (a: long, b: string = 'x') { ErrorEvents | extend a, b }; f(1) | join kind=leftouter (f(2, 'y')) on ServiceName",
			"union withsource=s ErrorEvents, (ErrorEvents | take 1), Nowhere* | project-reorder *, s | order by s asc",
			"ErrorEvents | extend d = dynamic({'a': [1, 2.5, null]}) | mv-expand x = d.a to typeof(long) | parse ServiceName with a ':' b:int",
			"print 1 + 'a', iff(true, 1, 2.5), strcat('a', 1, now()), tolong('x') / 2, todecimal(1) % 2, 1h * 2",
			"external_table('Archive') | lookup (Latest | distinct Id) on Id | where Id in (toscalar(Latest | project Id))",
			"ErrorEvents | where Typo > 1 | sumarize count() by",
			"datatable(a: long, b: string) [1, 'x', 2, '日本'] | make-series avg(a) on a from 0 to 10 step 1 by b",
			"database('Elsewhere').T | summarize m = max(x) by b",
			"ErrorEvents | summarize count(), bin(Timestamp, 1m) by ServiceName, (",
			"ErrorEvents | summarize count(*), arg_max(Timestamp, *), percentile(1.5, 50), percentile(1.5, dynamic([50])) by ServiceName",
			".show tables",
		) {
			for _, f := range []string{"analyze", "check"} {
				a, err := v.call(t.Context(), f, schema.version, "TelemetryDB", q)
				if err != nil {
					t.Fatalf("%s of %s: %v", f, q, err)
				}
				list = append(list, q+"\n"+a)
			}
		}
		return list
	}
	want := answers(script, glue)
	for i, got := range answers(patched, fast, glue) {
		if got != want[i] {
			t.Errorf("got\n%s\nwant\n%s", got, want[i])
		}
	}
}

func TestPatch(t *testing.T) {
	t.Run("ErrOtherVersion", func(t *testing.T) {
		_, err := patch(patches[0].old + patches[0].old)
		if want := fmt.Sprintf("the KQL parser must have %q once, has it 2 times", patches[0].old); err == nil || err.Error() != want {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("OK bounds", func(t *testing.T) {
		for script, want := range map[string]string{
			"a[System.Array.index(i,a)]=b[System.Array.index(i+1|0,this.b)];": "a[(i)]=b[(i+1|0)];",
			"a[System.Array.index(f(i,\")\"),g[0,1])]":                        "a[(f(i,\")\"))]",
			"a[System.Array.index(b[System.Array.index(i,b)],a)]":             "a[(b[(i)])]",
			"index=System.Array.index(i,a,1)":                                 "index=System.Array.index(i,a,1)",
			"System.Array.index(i,":                                           "System.Array.index(i,",
			"Bridge.staticEquals(fn,null)||Bridge.staticEquals(a,b)":          "(fn==null)||Bridge.staticEquals(a,b)",
		} {
			if got := noDelegate.ReplaceAllString(withoutBounds(script), "($1==null)"); got != want {
				t.Errorf("%s: got %s, want %s", script, got, want)
			}
		}
	})
	t.Run("OK", func(t *testing.T) {
		var script strings.Builder
		for _, p := range patches {
			script.WriteString(p.old + "\n")
		}
		got, err := patch(script.String())
		for _, p := range patches {
			if err != nil || !strings.Contains(got, p.new) {
				t.Fatalf("got %q, %v, want %q in it", got, err, p.new)
			}
		}
	})
}
