package schemas

import (
	"strings"
	"unicode"
)

// MetricName returns the name of the metric that one of several value columns
// makes: "[prefix_]name_column" in snake case, as adx-mon names them. It is empty
// when name or column has no letter or digit.
func MetricName(prefix, name, column string) string {
	name, column = SnakeCase(name), SnakeCase(column)
	if name == "" || column == "" {
		return ""
	}
	if prefix = SnakeCase(prefix); prefix != "" {
		name = prefix + "_" + name
	}
	return name + "_" + column
}

// SnakeCase writes a name in snake case: MaxMs is max_ms, HTTPCount http_count, p95Ms
// p95_ms. A word starts at a capital after a small letter or digit, and at the
// last capital of several before a small letter; whatever is no ASCII letter or
// digit separates words.
func SnakeCase(name string) string {
	var b strings.Builder
	rs := []rune(name)
	gap := false
	for i, r := range rs {
		lower := unicode.ToLower(r)
		if !isLower(lower) && !isDigit(lower) {
			gap = b.Len() > 0
			continue
		}
		if isUpper(r) && i > 0 {
			before := rs[i-1]
			if isLower(before) || isDigit(before) || isUpper(before) && i+1 < len(rs) && isLower(rs[i+1]) {
				gap = true
			}
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteByte(byte(lower))
	}
	return b.String()
}

func isLower(r rune) bool { return 'a' <= r && r <= 'z' }
func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }
func isDigit(r rune) bool { return '0' <= r && r <= '9' }
