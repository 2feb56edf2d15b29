package schemas

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetricsTestValue(t *testing.T) {
	for text, want := range map[string]string{
		"5": "5", "-0": "0", "5.0": "5.0", "1e3": "1000.0", "1e300": "1e+300", "0.1": "0.1",
		"9223372036854775807": "9223372036854775807", "9223372036854775808": "9.223372036854776e+18",
	} {
		var v, again MetricsTestValue
		require.NoError(t, v.UnmarshalText([]byte(text)), text)
		require.Equal(t, want, v.String())
		require.NoError(t, again.UnmarshalText([]byte(want)))
		require.Equal(t, v, again)
	}
	for _, text := range []string{"", "a", "NaN", "inf", "1e400", "0x10", "1_000", "0x1p4", " 1"} {
		require.EqualError(t, new(MetricsTestValue).UnmarshalText([]byte(text)), "must be a number", text)
	}
	value := func(s string) (v MetricsTestValue) {
		require.NoError(t, v.UnmarshalText([]byte(s)))
		return v
	}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"5", "5", true}, {"5", "5.0", true}, {"0", "0.0", true}, {"0", "1e-300", false},
		{"9007199254740993", "9007199254740992", false}, // which are one double
		{"1.0", "1.0000000009", true}, {"1.0", "1.000000002", false}, {"-1.0", "1.0", false},
	} {
		require.Equal(t, tt.want, value(tt.a).Equal(value(tt.b)), "%s %s", tt.a, tt.b)
		require.Equal(t, tt.want, value(tt.b).Equal(value(tt.a)), "%s %s", tt.b, tt.a)
	}
}
