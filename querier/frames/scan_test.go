package frames

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

var scanned = []string{
	`[]`, `[ ]`, `[1]`, `[ 1 , "a" ,null,true,false, {"a":[1,"]"]} ,[[],"}"]	]`, `["0123456789","01234567\"","\\","\u00e9","é\ud800"]`,
	`[-0,0.5,1e5,1E+5,1.25e-3,123456789012345678901234567890]`, "[\"\xff\"]", "[ \n1\r]", `["a",""]`,
	`[1,]`, `[,1]`, `[1 2]`, `[01]`, `[-]`, `[1.]`, `[.5]`, `[1e]`, `[+1]`, `[nul]`, `[nulll]`, `[True]`, `[NaN]`,
	"[\"a\nb\"]", "[\"0123456\x01\"]", `["\x"]`, `["\u12"]`, `[{]}]`, `[{"a"}]`, `[[1,]]`, `[{"a":1,}]`, `[1}`, `['a']`, "[\v1]", `["a`, `[[[`, `[1`, `[tr`, `["\`,
}

// checkScan compares scanRow with the tokenizer on every prefix that is decisive.
func checkScan(t *testing.T, text string) {
	if !strings.HasPrefix(text, "[") {
		return
	}
	cells, end, err := scanRow([]byte(text), nil)
	switch {
	case err == nil:
		if !jsontext.Value(text[:end]).IsValid(lenient...) {
			t.Fatalf("%q: accepted %q", text, text[:end])
		}
		values := 0
		d := jsontext.NewDecoder(strings.NewReader(text[:end]), lenient...)
		if _, err := d.ReadToken(); err != nil {
			t.Fatal(err)
		}
		for ; d.PeekKind() != ']'; values++ {
			v, err := d.ReadValue()
			if err != nil {
				t.Fatal(err)
			}
			if values >= len(cells) || string(v) != text[cells[values].from:cells[values].to] {
				t.Fatalf("%q: value %d is %s, found %v", text, values, v, cells)
			}
			if v.Kind() == '"' && cells[values].escaped != strings.Contains(string(v), `\`) {
				t.Fatalf("%q: escapes of value %d", text, values)
			}
		}
		if values != len(cells) {
			t.Fatalf("%q: %d values, found %v", text, values, cells)
		}
	case err == errShort:
		// A prefix of it may be an array all the same, of which the scan saw no end.
		if jsontext.Value(text).IsValid(lenient...) {
			t.Fatalf("%q: called short", text)
		}
	default:
		if jsontext.Value(text).IsValid(lenient...) {
			t.Fatalf("%q: refused", text)
		}
	}
}

func TestScan(t *testing.T) {
	for _, text := range scanned {
		for _, tail := range []string{"", ",", "]", " ,[1]]}"} {
			checkScan(t, text+tail)
		}
	}
	t.Run("OKCutIsShort", func(t *testing.T) {
		text := scanned[3]
		for n := 1; n < len(text); n++ {
			_, _, err := scanRow([]byte(text[:n]), nil)
			require.ErrorIs(t, err, errShort, text[:n])
		}
	})
}

func FuzzScan(f *testing.F) {
	for _, text := range scanned {
		f.Add(text)
	}
	f.Fuzz(checkScan)
}
