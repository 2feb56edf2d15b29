package engine

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

func init() {
	functions["parse_ipv4"] = scalar("long: string", func(r row) (int64, bool) {
		a, _, ok := parseIPv4(r.text(0))
		return int64(a), ok
	})
	functions["parse_ipv4_mask"] = scalar("long: string long", func(r row) (int64, bool) {
		a, prefix, ok := parseIPv4(r.text(0))
		if p := r.int(1); p < 0 || p > 32 {
			return 0, false
		}
		return int64(a & mask(min(prefix, int(r.int(1))))), ok
	})
	functions["ipv4_compare"] = scalar("long: string string long?", func(r row) (int64, bool) {
		a, b, ok := comparable4(r)
		switch {
		case a < b:
			return -1, ok
		case a > b:
			return 1, ok
		}
		return 0, ok
	})
	functions["ipv4_is_match"] = scalar("bool: string string long?", func(r row) (int64, bool) {
		a, b, ok := comparable4(r)
		return truth(a == b), ok
	})
	functions["ipv4_is_in_range"] = scalar("bool: string string", func(r row) (int64, bool) {
		a, _, ok1 := parseIPv4(r.text(0))
		b, prefix, ok2 := parseIPv4(r.text(1))
		return truth(a&mask(prefix) == b), ok1 && ok2
	})
	functions["ipv4_is_in_any_range"] = bindInAnyRange
	functions["ipv4_is_private"] = scalar("bool: string", func(r row) (int64, bool) {
		a, prefix, ok := parseIPv4(r.text(0))
		private := false
		for _, p := range []struct {
			net    uint32
			prefix int
		}{{10 << 24, 8}, {172<<24 | 16<<16, 12}, {192<<24 | 168<<16, 16}} {
			private = private || prefix >= p.prefix && a&mask(p.prefix) == p.net
		}
		return truth(private), ok
	})
	functions["ipv4_netmask_suffix"] = scalar("long: string", func(r row) (int64, bool) {
		_, prefix, ok := parseIPv4(r.text(0))
		return int64(prefix), ok
	})
	functions["format_ipv4"] = bindFormatIPv4
}

// parseIPv4 reads an address with, optionally, a prefix length, to whose bits it is cut.
func parseIPv4(s string) (address uint32, prefix int, ok bool) {
	text, length, masked := strings.Cut(strings.TrimSpace(s), "/")
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0, 0, false
	}
	prefix = 32
	if masked {
		if prefix, err = strconv.Atoi(length); err != nil || prefix < 0 || prefix > 32 {
			return 0, 0, false
		}
	}
	for _, b := range a.As4() {
		address = address<<8 | uint32(b)
	}
	return address & mask(prefix), prefix, true
}

func mask(prefix int) uint32 { return ^uint32(0) << (32 - prefix) }

// comparable4 is two addresses cut to the shortest of their prefixes and that of the third argument.
func comparable4(r row) (a, b uint32, ok bool) {
	a, p, ok1 := parseIPv4(r.text(0))
	b, q, ok2 := parseIPv4(r.text(1))
	prefix := r.intOr(2, 32)
	if !ok1 || !ok2 || prefix < 0 || prefix > 32 {
		return 0, 0, false
	}
	m := mask(min(p, q, int(prefix)))
	return a & m, b & m, true
}

// bindInAnyRange takes ranges as an array, or as further arguments.
func bindInAnyRange(c *call) (kernel, error) {
	if len(c.args) == 2 && c.args[1].typ.String() == "dynamic" {
		return scalar("bool: string dynamic", func(r row) (int64, bool) {
			ranges, ok := elements(r.text(1))
			for i := range ranges {
				ranges[i] = jsonText(ranges[i])
			}
			found, ok2 := inAnyRange(r, ranges)
			return found, ok && ok2
		})(c)
	}
	return scalar("bool: string string*", func(r row) (int64, bool) {
		var ranges []string
		for j := range r.args[1:] {
			ranges = append(ranges, r.text(j+1))
		}
		return inAnyRange(r, ranges)
	})(c)
}

func inAnyRange(r row, ranges []string) (int64, bool) {
	a, _, ok := parseIPv4(r.text(0))
	if !ok {
		return 0, false
	}
	for _, s := range ranges {
		b, prefix, ok := parseIPv4(s)
		if !ok {
			r.refuse("ipv4_is_in_any_range with the range %.40q", s)
			return 0, false
		}
		if a&mask(prefix) == b {
			return 1, true
		}
	}
	return 0, true
}

// bindFormatIPv4 writes an address, given as a number or a string; what is none gives the empty string.
func bindFormatIPv4(c *call) (kernel, error) {
	format := func(r row, a uint32, own int) (string, bool) {
		prefix := r.intOr(1, 32)
		if prefix < 0 || prefix > 32 {
			return "", false
		}
		a = bits.ReverseBytes32(a & mask(min(own, int(prefix))))
		return netip.AddrFrom4([4]byte{byte(a), byte(a >> 8), byte(a >> 16), byte(a >> 24)}).String(), true
	}
	if integral(c.args[0].typ) {
		return scalar("string: long long?", func(r row) (string, bool) {
			i := r.int(0)
			if i < 0 || i > int64(^uint32(0)) {
				return "", false
			}
			return format(r, uint32(i), 32)
		})(c)
	}
	return scalar("string: string long?", func(r row) (string, bool) {
		a, prefix, ok := parseIPv4(r.text(0))
		if !ok {
			return "", false
		}
		return format(r, a, prefix)
	})(c)
}
