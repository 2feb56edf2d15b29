package engine

import (
	"encoding/csv"
	"strings"
	"unicode/utf8"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["substring"] = scalar("string: string long long?", substring)
	functions["indexof"] = scalar("long: string string long? long? long?", indexOf)
	functions["strcmp"] = scalar("long: string string", func(r row) (int64, bool) {
		return int64(strings.Compare(r.text(0), r.text(1))), true
	})
	functions["strrep"] = bindStrrep
	functions["string_size"] = scalar("long: string", func(r row) (int64, bool) { return int64(len(r.text(0))), true })
	functions["reverse"] = scalar("string: string", func(r row) (string, bool) {
		runes := []rune(r.text(0))
		for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
			runes[i], runes[j] = runes[j], runes[i]
		}
		return string(runes), true
	})
	functions["replace_string"] = scalar("string: string string string", replaceString)
	functions["replace_strings"] = scalar("string: string dynamic dynamic", replaceStrings)
	functions["translate"] = scalar("string: string string string", translate)
	functions["strcat_delim"] = bindStrcatDelim
	functions["strcat_array"] = scalar("string: dynamic string", strcatArray)
	functions["array_strcat"] = functions["strcat_array"]
	functions["isascii"] = scalar("bool: string", func(r row) (int64, bool) {
		s := r.text(0)
		for i := range len(s) {
			if s[i] >= utf8.RuneSelf {
				return 0, true
			}
		}
		return 1, true
	})
	functions["isutf8"] = scalar("bool: string", func(r row) (int64, bool) { return truth(utf8.ValidString(r.text(0))), true })
	functions["to_utf8"] = scalar("dynamic: string", codepoints)
	functions["unicode_codepoints_from_string"] = functions["to_utf8"]
	functions["make_string"] = bindMakeString
	functions["unicode_codepoints_to_string"] = bindMakeString
	functions["parse_version"] = scalar("decimal: string", parseVersion)
	functions["parse_csv"] = scalar("dynamic: string", parseCSV)
	functions["has_any_index"] = scalar("long: string dynamic", hasAnyIndex)
}

// substring counts characters; a start below zero counts from the end.
func substring(r row) (string, bool) {
	runes := []rune(r.text(0))
	n := int64(len(runes))
	from, length := r.int(1), r.intOr(2, n)
	if length < 0 {
		r.refuse("substring of length %d", length)
		return "", false
	}
	if from < 0 {
		from = max(from+n, 0)
	}
	from = min(from, n)
	return string(runes[from : from+min(length, n-from)]), true
}

// indexOf: positions are of characters. The documentation's text gives null for a start below zero, its example
// counts from the end, as the service does.
func indexOf(r row) (int64, bool) {
	s, match := []rune(r.text(0)), []rune(r.text(1))
	start, length, occurrence := r.intOr(2, 0), r.intOr(3, -1), r.intOr(4, 1)
	n := int64(len(s))
	switch {
	case length < -1 || occurrence < 0:
		return 0, false
	case occurrence == 0 || len(match) == 0:
		r.refuse("indexof of an empty string, or of occurrence 0")
		return 0, false
	case start < 0:
		start = max(start+n, 0)
	}
	plain, apart := nth(s, match, start, length, occurrence, 1), nth(s, match, start, length, occurrence, int64(len(match)))
	if plain != apart {
		r.refuse("indexof of an occurrence among ones that overlap")
	}
	return plain, true
}

// nth is where from start on the nth occurrence of match begins, -1 if nowhere. step is how far one occurrence
// is from where the next may begin. Each is looked for in a number of characters after the one before, as the
// documentation's example has it; below zero that is in all.
func nth(s, match []rune, start, within, n, step int64) int64 {
	for ; n > 0; n-- {
		end := int64(len(s))
		if within >= 0 && within < end-min(start, end) {
			end = start + within
		}
		i := start
		for i+int64(len(match)) <= end && string(s[i:i+int64(len(match))]) != string(match) {
			i++
		}
		if i+int64(len(match)) > end {
			return -1
		}
		if n == 1 {
			return i
		}
		start = i + step
	}
	return -1
}

// bindStrrep repeats the text of a value, at most 1024 times.
func bindStrrep(c *call) (kernel, error) {
	return scalar("string: string long string?", func(r row) (string, bool) {
		n, between := r.int(1), ""
		if r.has(2) {
			between = r.text(2)
		}
		if n < 0 || n > 1024 {
			r.refuse("strrep of %d times", n)
			return "", false
		}
		return strings.TrimSuffix(strings.Repeat(r.text(0)+between, int(n)), between), true
	})(c)
}

func replaceString(r row) (string, bool) {
	if r.text(1) == "" {
		r.refuse("replace_string of the empty string")
	}
	return strings.ReplaceAll(r.text(0), r.text(1), r.text(2)), true
}

// replaceStrings looks for each string in turn, in what those before have left. An element that is no string is not
// looked for, or leaves what is found as it is.
func replaceStrings(r row) (string, bool) {
	lookups, ok1 := elements(r.text(1))
	rewrites, ok2 := elements(r.text(2))
	if !ok1 || !ok2 || len(lookups) != len(rewrites) {
		r.refuse("replace_strings with lists that are none, or of different lengths")
		return "", false
	}
	type part struct {
		text string
		done bool
	}
	parts := []part{{r.text(0), false}}
	for i, l := range lookups {
		from, isText := textElement(l)
		if !isText {
			continue
		}
		if from == "" {
			r.refuse("replace_strings of the empty string")
			return "", false
		}
		to, replaces := textElement(rewrites[i])
		if !replaces {
			to = from
		}
		var next []part
		for _, p := range parts {
			if p.done {
				next = append(next, p)
				continue
			}
			for j, rest := range strings.Split(p.text, from) {
				if j > 0 {
					next = append(next, part{to, true})
				}
				next = append(next, part{rest, false})
			}
		}
		parts = next
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.text)
	}
	return b.String(), true
}

// translate: the last character of the replacements stands for those that are missing; without any,
// characters are removed.
func translate(r row) (string, bool) {
	from, to := []rune(r.text(0)), []rune(r.text(1))
	var b strings.Builder
	for _, c := range r.text(2) {
		i := strings.IndexRune(r.text(0), c)
		if i < 0 {
			b.WriteRune(c)
			continue
		}
		if len(to) == 0 {
			continue
		}
		i = utf8.RuneCountInString(r.text(0)[:i])
		if i >= len(to) {
			if len(to) > 1 {
				r.refuse("translate of %d characters to %d", len(from), len(to))
			}
			i = len(to) - 1
		}
		b.WriteRune(to[i])
	}
	return b.String(), true
}

// bindStrcatDelim joins the texts of its arguments, of any type, with the first between them.
func bindStrcatDelim(c *call) (kernel, error) {
	for i := range c.args {
		if err := c.to(i, table.String); err != nil {
			return nil, err
		}
	}
	return liftRows(c.typ, func(r row) (string, bool) {
		parts := make([]string, len(r.args)-1)
		for j := range parts {
			parts[j] = r.text(j + 1)
		}
		return strings.Join(parts, r.text(0)), true
	}), nil
}

func strcatArray(r row) (string, bool) {
	a, ok := elements(r.text(0))
	for i := range a {
		a[i] = jsonText(a[i])
	}
	return strings.Join(a, r.text(1)), ok
}

// codepoints are the numbers of a string's characters.
func codepoints(r row) (string, bool) {
	var a []string
	for _, c := range r.text(0) {
		a = append(a, formatInteger(int64(c)))
	}
	return array(a), true
}

// bindMakeString makes a string of the numbers of its characters, given one by one or in arrays.
func bindMakeString(c *call) (kernel, error) {
	if c.typ != table.String {
		return nil, c.ofTypes()
	}
	for i, a := range c.args {
		if a.typ != table.Dynamic {
			if err := c.coerce(i, table.Long); err != nil {
				return nil, err
			}
		}
	}
	return liftRows(c.typ, func(r row) (string, bool) {
		var b strings.Builder
		write := func(i int64) {
			if i < 0 || i > utf8.MaxRune || !utf8.ValidRune(rune(i)) {
				r.refuse("the code point %d", i)
				return
			}
			b.WriteRune(rune(i))
		}
		for j, a := range r.args {
			if a.Type == table.Long {
				write(r.int(j))
				continue
			}
			es, ok := elements(r.text(j))
			if !ok {
				es = []string{r.text(j)}
			}
			for _, e := range es {
				i, ok := parseInteger(e)
				if !ok {
					r.refuse("the code point %s", e)
				}
				write(i)
			}
		}
		return b.String(), true
	}), nil
}

// parseVersion makes a number of up to four parts of up to eight digits, which orders as the versions do.
func parseVersion(r row) (string, bool) {
	parts := strings.Split(r.text(0), ".")
	if len(parts) > 4 {
		return "", false
	}
	var b strings.Builder
	for i := range 4 {
		part := "0"
		if i < len(parts) {
			part = parts[i]
		}
		if len(part) > 8 || !allDigits(part) {
			return "", false
		}
		b.WriteString(strings.Repeat("0", 8-len(part)) + part)
	}
	return max(strings.TrimLeft(b.String(), "0"), "0"), true
}

// parseCSV is the fields of the first record.
func parseCSV(r row) (string, bool) {
	if r.text(0) == "" {
		r.refuse("parse_csv of the empty string")
		return "", false
	}
	d := csv.NewReader(strings.NewReader(r.text(0)))
	fields, err := d.Read()
	if err != nil {
		r.refuse("parse_csv of %.60q", r.text(0))
	}
	for i := range fields {
		fields[i] = quote(fields[i])
	}
	return array(fields), true
}

// hasAnyIndex is the place in the array of the first term that the text has, -1 when there is none.
func hasAnyIndex(r row) (int64, bool) {
	terms, ok := elements(r.text(1))
	if !ok {
		return 0, false
	}
	for i, e := range terms {
		if term, ok := textElement(e); ok && folded(hasTerm)(r.text(0), term) {
			return int64(i), true
		}
	}
	return -1, true
}
