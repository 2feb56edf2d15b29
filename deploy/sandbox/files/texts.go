package files

import "strings"

// maxTexts bounds how many texts are remembered.
const maxTexts = 1 << 16

// texts has every text once. Most string columns are labels, with few values; and a text of its own
// does not hold on to the line that it was read from.
type texts map[string]string

func (t texts) one(s string) string {
	if known, ok := t[s]; ok {
		return known
	}
	s = strings.Clone(s)
	if len(t) < maxTexts {
		t[s] = s
	}
	return s
}
