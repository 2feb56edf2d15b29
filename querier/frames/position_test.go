package frames

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestShiftLines(t *testing.T) {
	for name, tt := range map[string]struct {
		message, want string
		line, column  int
	}{
		"OKKusto":    {"Syntax error: SYN0002: A recognition error occurred. [line:position=3:14]. Query: 'T'", "Syntax error: SYN0002: A recognition error occurred. [line:position=2:14]. Query: 'T'", 2, 15},
		"OKParser":   {"Semantic error: 3:9: The name 'x' (KS142); 4:1: Expected: ; (KS005)", "Semantic error: 2:9: The name 'x' (KS142); 3:1: Expected: ; (KS005)", 2, 9},
		"OKUnknown":  {"Syntax error: SYN0001: I could not parse that, sorry. [line:position=0:0]", "Syntax error: SYN0001: I could not parse that, sorry. [line:position=0:0]", 0, 1},
		"OKBefore":   {"Semantic error: 1:26: x (KS142)", "Semantic error: 1:26: x (KS142)", 1, 26},
		"OKNone":     {"at 10:30:00: no 3:4: place", "at 10:30:00: no 3:4: place", 0, 0},
		"OKOverflow": {"[line:position=99999999999999999999:1]", "[line:position=99999999999999999999:1]", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Error{Message: tt.message}
			e.ShiftLines(1)
			require.Equal(t, tt.want, e.Message)
			line, column, ok := e.Place()
			require.Equal(t, tt.line, line)
			require.Equal(t, tt.column, column)
			require.Equal(t, line > 0, ok)
		})
	}
}

func TestUnplaced(t *testing.T) {
	for message, want := range map[string]string{
		"Syntax error: SYN0002: A recognition error occurred. [line:position=3:14]. Query: 'T | where'": "Syntax error: SYN0002: A recognition error occurred.",
		"Semantic error: SEM0100: no column. [line:position=3:14]":                                      "Semantic error: SEM0100: no column.",
		"Semantic error: 3:9: The name 'x' (KS142); 4:1: Expected: ; (KS005)":                           "Semantic error: The name 'x' (KS142); 4:1: Expected: ; (KS005)",
		"nothing": "nothing",
	} {
		require.Equal(t, want, (&Error{Message: message}).Unplaced())
	}
}
