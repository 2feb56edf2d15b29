package frames

import "bytes"

// The functions here walk over JSON that the tokenizer has found valid, so that
// they need not check its grammar again: within a row that is half of the cost.

// skipSpace returns the position of the next byte that is no white space.
func skipSpace(b []byte, p int) int {
	for b[p] <= ' ' {
		p++
	}
	return p
}

// skipValue returns the position after the value that begins at p.
func skipValue(b []byte, p int) int {
	switch b[p] {
	case '"':
		return skipString(b, p)
	case '{', '[':
		depth := 0
		for {
			switch b[p] {
			case '"':
				p = skipString(b, p)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return p + 1
				}
			}
			p++
		}
	}
	for {
		switch b[p] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return p
		}
		p++
	}
}

// skipString returns the position after the string that begins at p.
func skipString(b []byte, p int) int {
	for p++; ; {
		q := bytes.IndexByte(b[p:], '"') + p
		// An odd number of backslashes before it escapes the quote.
		n := q
		for n > p && b[n-1] == '\\' {
			n--
		}
		if (q-n)%2 == 0 {
			return q + 1
		}
		p = q + 1
	}
}
