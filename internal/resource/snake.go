package resource

import (
	"strings"
	"unicode"
)

// SnakeCase returns a column's name as the end of a metric's name: MaxMs
// becomes max_ms, HTTPErrors http_errors and Total-Count total_count. Letters
// and digits of ASCII remain, everything else separates.
func SnakeCase(column string) string {
	var b strings.Builder
	runes := []rune(column)
	gap := false
	for i, r := range runes {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			gap = true
			continue
		}
		if unicode.IsUpper(r) && i > 0 {
			before := runes[i-1]
			ends := unicode.IsUpper(before) && i+1 < len(runes) && unicode.IsLower(runes[i+1])
			gap = gap || unicode.IsLower(before) || unicode.IsDigit(before) || ends
		}
		if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
