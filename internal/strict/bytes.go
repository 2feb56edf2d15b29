package strict

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is a size in bytes. It reads a whole number, or a number with a unit:
// B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024).
type Bytes int64

// Sizes that Bytes prints with.
const (
	KiB Bytes = 1 << 10
	MiB Bytes = 1 << 20
	GiB Bytes = 1 << 30
	TiB Bytes = 1 << 40
)

var byteUnits = map[string]float64{
	"": 1, "B": 1,
	"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}

// ParseBytes reads a size such as 1GiB, 1.5MiB or 4096.
func ParseBytes(s string) (Bytes, error) {
	number := strings.TrimRight(s, "BKMGTik")
	unit, known := byteUnits[s[len(number):]]
	number = strings.TrimRight(number, " ")
	if !known || number == "" || strings.Trim(number, "0123456789.-") != "" {
		return 0, errSize
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil && unit == 1 {
		return Bytes(whole), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, errSize
	}
	f *= unit
	// A float64 of this size or more does not fit into an int64.
	if math.Abs(f) >= math.MaxInt64 {
		return 0, fmt.Errorf("must be less than 8 EiB")
	}
	return Bytes(f), nil
}

var errSize = fmt.Errorf("must be a size such as 512MiB, 1GiB or a number of bytes")

// UnmarshalText reads a size as ParseBytes does.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// MarshalText prints the size as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String prints the size in the largest binary unit that keeps it whole.
func (b Bytes) String() string {
	for _, u := range []struct {
		size Bytes
		name string
	}{{TiB, "TiB"}, {GiB, "GiB"}, {MiB, "MiB"}, {KiB, "KiB"}} {
		if b != 0 && b%u.size == 0 {
			return strconv.FormatInt(int64(b/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}
