package engine

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["array_length"] = scalar("long: dynamic", func(r row) (int64, bool) {
		a, ok := elements(r.text(0))
		return int64(len(a)), ok
	})
	functions["arraylength"] = functions["array_length"]
	functions["array_concat"] = scalar("dynamic: dynamic dynamic*", arrayConcat)
	functions["array_slice"] = scalar("dynamic: dynamic long long", arraySlice)
	functions["array_index_of"] = bindArrayIndexOf
	functions["array_reverse"] = onArray("", func(_ row, a []string) []string { slices.Reverse(a); return a })
	functions["array_sum"] = scalar("real: dynamic", arraySum)
	functions["array_split"] = bindArraySplit
	functions["array_rotate_left"] = onArray(" long", func(r row, a []string) []string { return rotated(a, r.int(1)) })
	functions["array_rotate_right"] = onArray(" long", func(r row, a []string) []string { return rotated(a, -r.int(1)) })
	functions["array_shift_left"] = bindArrayShift(1)
	functions["array_shift_right"] = bindArrayShift(-1)
	functions["array_iff"] = bindArrayIff
	functions["array_iif"] = bindArrayIff
	functions["array_sort_asc"] = bindArraySort(1)
	functions["array_sort_desc"] = bindArraySort(-1)
	functions["pack_array"] = bindPackArray
	functions["zip"] = scalar("dynamic: dynamic dynamic*", zip)
	functions["range"] = bindRangeArray
	functions["repeat"] = bindRepeat
}

// onArray is a function from an array, and further arguments of the types, to an array. What is no array gives null.
func onArray(types string, f func(r row, a []string) []string) binder {
	return scalar("dynamic: dynamic"+types, func(r row) (string, bool) {
		a, ok := elements(r.text(0))
		if !ok {
			return "", false
		}
		return array(f(r, a)), true
	})
}

func arrayConcat(r row) (string, bool) {
	var all []string
	for j := range r.args {
		a, ok := elements(r.text(j))
		if !ok {
			return "", false
		}
		all = append(all, a...)
	}
	return array(all), true
}

// arraySlice is the elements from a start to an end, both included; below zero they count from the array's end.
func arraySlice(r row) (string, bool) {
	a, ok := elements(r.text(0))
	n := int64(len(a))
	from, to := r.int(1), r.int(2)
	if from < 0 {
		from += n
	}
	if to < 0 {
		to += n
	}
	from, to = max(from, 0), min(to, n-1)
	if from > to {
		return "[]", ok
	}
	return array(a[from : to+1]), ok
}

// bindArrayIndexOf is the place of a value, with the bounds that indexof() has.
func bindArrayIndexOf(c *call) (kernel, error) {
	if err := c.become(1, table.Dynamic); err != nil {
		return nil, err
	}
	return scalar("long: dynamic dynamic long? long? long?", func(r row) (int64, bool) {
		a, ok := elements(r.text(0))
		start, length, occurrence := r.intOr(2, 0), r.intOr(3, -1), r.intOr(4, 1)
		n := int64(len(a))
		if !ok || occurrence <= 0 || length < -1 {
			return 0, false
		}
		if start < 0 {
			start = max(start+n, 0)
		}
		end := n
		if length >= 0 && length < n-min(start, n) {
			end = start + length
		}
		for i := start; i < end; i++ {
			if !sameElement(a[i], r.text(1)) {
				continue
			}
			if occurrence--; occurrence == 0 {
				return i, true
			}
		}
		return -1, true
	})(c)
}

// arraySum is null when an element is no number.
func arraySum(r row) (float64, bool) {
	a, ok := elements(r.text(0))
	sum := 0.0
	for _, e := range a {
		f, isNumber := numberElement(e)
		if !isNumber {
			return 0, false
		}
		sum += f
	}
	return sum, ok
}

// bindArraySplit cuts an array before an index, or before each of an array of them.
func bindArraySplit(c *call) (kernel, error) {
	if c.args[1].typ != table.Dynamic {
		if err := c.become(1, table.Dynamic); err != nil {
			return nil, err
		}
	}
	return onArray(" dynamic", func(r row, a []string) []string {
		indexes, several := elements(r.text(1))
		if !several {
			indexes = []string{r.text(1)}
		}
		var parts []string
		from := int64(0)
		for _, s := range indexes {
			i, ok := parseInteger(s)
			if i < 0 {
				i += int64(len(a))
			}
			if !ok || i < from || i > int64(len(a)) {
				r.refuse("array_split of %d elements at %s", len(a), s)
				return nil
			}
			parts = append(parts, array(a[from:i]))
			from = i
		}
		return append(parts, array(a[from:]))
	})(c)
}

func rotated(a []string, by int64) []string {
	if len(a) == 0 {
		return a
	}
	n := int64(len(a))
	by = (by%n + n) % n
	return append(slices.Clone(a[by:]), a[:by]...)
}

// bindArrayShift moves elements to the left, to the right when direction is negative, and fills what becomes free with
// the third argument; without one with null, or with empty strings in an array of strings.
func bindArrayShift(direction int64) binder {
	return func(c *call) (kernel, error) {
		types := " long"
		if len(c.args) == 3 {
			types += " dynamic"
			if err := c.become(2, table.Dynamic); err != nil {
				return nil, err
			}
		}
		return onArray(types, func(r row, a []string) []string {
			fill := "null"
			switch {
			case r.has(2):
				fill = r.text(2)
			case len(a) > 0 && !slices.ContainsFunc(a, func(e string) bool { return e[0] != '"' }):
				fill = `""`
			}
			out := make([]string, len(a))
			for i := range out {
				out[i] = fill
				if from := int64(i) + direction*r.int(1); from >= 0 && from < int64(len(a)) {
					out[i] = a[from]
				}
			}
			return out
		})(c)
	}
}

// bindArrayIff chooses element by element, by an array of booleans or numbers.
func bindArrayIff(c *call) (kernel, error) {
	if c.typ != table.Dynamic {
		return nil, c.ofTypes()
	}
	for i := 1; i <= 2; i++ {
		if err := c.become(i, table.Dynamic); err != nil {
			return nil, err
		}
	}
	return onArray(" dynamic dynamic", func(r row, conditions []string) []string {
		value := func(j, i int) string {
			a, several := elements(r.text(j))
			switch {
			case !several:
				return r.text(j)
			case i < len(a):
				return a[i]
			}
			return "null"
		}
		for i, condition := range conditions {
			f, isNumber := numberElement(condition)
			switch {
			case condition == "true", isNumber && f != 0:
				conditions[i] = value(1, i)
			case condition == "false", isNumber:
				conditions[i] = value(2, i)
			default:
				conditions[i] = "null"
			}
		}
		return conditions
	})(c)
}

// bindArraySort sorts numbers by value, then strings, then the rest; nulls come last, or first when the last argument
// says so. Several arrays at once are several columns, which are refused.
func bindArraySort(direction int) binder {
	return func(c *call) (kernel, error) {
		nullsLast := true
		if len(c.args) == 2 && c.args[1].typ == table.Bool && c.args[1].konst != nil {
			nullsLast = c.args[1].konst.Ints[0] != 0
			c.args = c.args[:1]
		}
		if len(c.args) != 1 {
			return nil, c.unsupported("of several arrays")
		}
		return onArray("", func(r row, a []string) []string {
			var nulls []string
			a = slices.DeleteFunc(a, func(e string) bool {
				if e == "null" {
					nulls = append(nulls, e)
				}
				return e == "null"
			})
			slices.SortStableFunc(a, func(x, y string) int {
				if p, q := sortClass(r, x), sortClass(r, y); p != q {
					return cmp.Compare(p, q)
				}
				if f, ok := numberElement(x); ok {
					g, _ := numberElement(y)
					return direction * cmp.Compare(f, g)
				}
				return direction * strings.Compare(jsonText(x), jsonText(y))
			})
			if nullsLast {
				return append(a, nulls...)
			}
			return append(nulls, a...)
		})(c)
	}
}

func sortClass(r row, e string) int {
	if _, ok := numberElement(e); ok {
		return 0
	}
	if e[0] != '"' {
		r.refuse("the order of the array element %.40s", e)
	}
	return 1
}

// bindPackArray is an array of its arguments.
func bindPackArray(c *call) (kernel, error) {
	for i := range c.args {
		if err := c.become(i, table.Dynamic); err != nil {
			return nil, err
		}
	}
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		a := make([]string, len(r.args))
		for j := range a {
			a[j] = r.json(j)
		}
		return array(a), true
	}), nil
}

// json is a dynamic argument as an element of something: null when it is null.
func (r row) json(j int) string {
	if r.null(j) {
		return "null"
	}
	return r.text(j)
}

// zip makes arrays of the elements with the same number; an array that is shorter has nulls there.
func zip(r row) (string, bool) {
	var all [][]string
	most := 0
	for j := range r.args {
		a, ok := elements(r.text(j))
		if !ok {
			return "", false
		}
		all = append(all, a)
		most = max(most, len(a))
	}
	out := make([]string, most)
	for i := range out {
		one := make([]string, len(all))
		for j, a := range all {
			one[j] = "null"
			if i < len(a) {
				one[j] = a[i]
			}
		}
		out[i] = array(one)
	}
	return array(out), true
}

// mostElements is how many range() and make_list() give (docs, "range()").
const mostElements = 1 << 20

// bindRangeArray is the array of values from the first argument to the second; the step is 1, or an hour.
func bindRangeArray(c *call) (kernel, error) {
	t := c.args[0].typ
	for _, a := range c.args[1:2] {
		if a.typ != t {
			if !numeric(a.typ) || !numeric(t) {
				return nil, c.ofTypes()
			}
			t = wider(t, a.typ)
		}
	}
	stepType, one := t, int64(1)
	switch {
	case t == table.DateTime, t == table.TimeSpan:
		stepType, one = table.TimeSpan, 36e9
	case len(c.args) == 3 && numeric(t) && numeric(c.args[2].typ):
		t = wider(t, c.args[2].typ)
		stepType = t
	case !numeric(t):
		return nil, c.ofTypes()
	}
	for i := range c.args {
		want := t
		if i == 2 {
			want = stepType
		}
		if err := c.coerce(i, want); err != nil {
			return nil, err
		}
	}
	if t == table.Real {
		return liftRows(table.Dynamic, func(r row) (string, bool) {
			step := 1.0
			if r.has(2) {
				step = r.real(2)
			}
			if !(step > 0 || step < 0) {
				r.refuse("range with step %v", step)
				return "", false
			}
			var a []string
			for i := 0; i < mostElements; i++ {
				x := r.real(0) + float64(i)*step
				if !(step > 0 && x <= r.real(1) || step < 0 && x >= r.real(1)) {
					break
				}
				a = append(a, formatReal(x))
			}
			return array(a), true
		}), nil
	}
	json := toDynamic(t)
	return liftRows(table.Dynamic, func(r row) (string, bool) {
		step := r.intOr(2, one)
		if step == 0 {
			r.refuse("range with step 0")
			return "", false
		}
		v := table.NewVector(t, 0)
		for x, ok := r.int(0), true; ok && v.Len() < mostElements && (step > 0 && x <= r.int(1) || step < 0 && x >= r.int(1)); x, ok = addTicks(x, step) {
			v.AppendInt(x)
		}
		out, err := json([]operand{rows(v)}, v.Len())
		if err != nil {
			return "", false
		}
		return array(out.Strings), true
	}), nil
}

// bindRepeat is an array of the same value a number of times.
func bindRepeat(c *call) (kernel, error) {
	if err := c.become(0, table.Dynamic); err != nil {
		return nil, err
	}
	if err := c.coerce(1, table.Long); err != nil {
		return nil, err
	}
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		if r.null(1) || r.int(1) < 0 {
			return "", false
		}
		if r.int(1) > mostElements {
			r.refuse("repeat of %d times", r.int(1))
			return "", false
		}
		return array(slices.Repeat([]string{r.json(0)}, int(r.int(1)))), true
	}), nil
}
