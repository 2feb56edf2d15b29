package table

import "fmt"

// Vector is the values of one column. Only the slice that its Type uses is filled; a null row has
// the zero value there and its number in Nulls.
type Vector struct {
	Type    Type
	Ints    []int64
	Reals   []float64
	Strings []string
	Nulls   Bitmap
}

// NewVector returns an empty vector with room for capacity rows. It panics when t is no type.
func NewVector(t Type, capacity int) *Vector {
	v := &Vector{Type: t}
	switch t.Kind() {
	case Ints:
		v.Ints = make([]int64, 0, capacity)
	case Reals:
		v.Reals = make([]float64, 0, capacity)
	case Strings:
		v.Strings = make([]string, 0, capacity)
	}
	return v
}

// Len is the number of rows.
func (v *Vector) Len() int {
	switch v.Type.Kind() {
	case Ints:
		return len(v.Ints)
	case Reals:
		return len(v.Reals)
	}
	return len(v.Strings)
}

// IsNull reports whether row i is null.
func (v *Vector) IsNull(i int) bool { return v.Nulls.Get(i) }

// HasNulls reports whether any row is null, so that kernels can skip the test per row.
func (v *Vector) HasNulls() bool { return v.Nulls.Any() }

// AppendInt adds a value of a type that Ints holds.
func (v *Vector) AppendInt(x int64) {
	v.want(Ints)
	v.Ints = append(v.Ints, x)
}

// AppendBool adds a bool.
func (v *Vector) AppendBool(x bool) {
	v.want(Ints)
	if x {
		v.Ints = append(v.Ints, 1)
	} else {
		v.Ints = append(v.Ints, 0)
	}
}

// AppendReal adds a real.
func (v *Vector) AppendReal(x float64) {
	v.want(Reals)
	v.Reals = append(v.Reals, x)
}

// AppendString adds a value of a type that Strings holds, in the form the package comment gives.
func (v *Vector) AppendString(x string) {
	v.want(Strings)
	v.Strings = append(v.Strings, x)
}

// AppendNull adds a null; in a string vector the empty string, as Kusto does.
func (v *Vector) AppendNull() {
	if v.Type.Nullable() {
		v.Nulls.Set(v.Len())
	}
	switch v.Type.Kind() {
	case Ints:
		v.Ints = append(v.Ints, 0)
	case Reals:
		v.Reals = append(v.Reals, 0)
	case Strings:
		v.Strings = append(v.Strings, "")
	}
}

// SetNull makes row i null; in a string vector empty.
func (v *Vector) SetNull(i int) {
	switch v.Type.Kind() {
	case Ints:
		v.Ints[i] = 0
	case Reals:
		v.Reals[i] = 0
	case Strings:
		v.Strings[i] = ""
	}
	if v.Type.Nullable() {
		v.Nulls.Set(i)
	}
}

// AppendRow adds row i of src, which must be of the same type.
func (v *Vector) AppendRow(src *Vector, i int) {
	v.same(src)
	if src.Nulls.Get(i) {
		v.AppendNull()
		return
	}
	switch v.Type.Kind() {
	case Ints:
		v.Ints = append(v.Ints, src.Ints[i])
	case Reals:
		v.Reals = append(v.Reals, src.Reals[i])
	case Strings:
		v.Strings = append(v.Strings, src.Strings[i])
	}
}

// AppendVector adds every row of src, which must be of the same type.
func (v *Vector) AppendVector(src *Vector) {
	v.same(src)
	n := v.Len()
	for _, i := range src.Nulls.Selection(src.Len()) {
		v.Nulls.Set(n + int(i))
	}
	v.Ints = append(v.Ints, src.Ints...)
	v.Reals = append(v.Reals, src.Reals...)
	v.Strings = append(v.Strings, src.Strings...)
}

// Slice is rows [from, to). It shares memory with v but cannot be appended into it.
func (v *Vector) Slice(from, to int) *Vector {
	s := &Vector{Type: v.Type, Nulls: v.Nulls.slice(from, to)}
	switch v.Type.Kind() {
	case Ints:
		s.Ints = v.Ints[from:to:to]
	case Reals:
		s.Reals = v.Reals[from:to:to]
	case Strings:
		s.Strings = v.Strings[from:to:to]
	}
	return s
}

// Take is the rows that sel names, in its order, copied. A negative row number gives a null, which
// is what the unmatched side of an outer join needs.
func (v *Vector) Take(sel []int32) *Vector {
	s := NewVector(v.Type, len(sel))
	switch v.Type.Kind() {
	case Ints:
		s.Ints = take(s.Ints, v.Ints, sel)
	case Reals:
		s.Reals = take(s.Reals, v.Reals, sel)
	case Strings:
		s.Strings = take(s.Strings, v.Strings, sel)
	}
	if !v.Type.Nullable() {
		return s
	}
	nulls := v.HasNulls()
	for o, i := range sel {
		if i < 0 || nulls && v.Nulls.Get(int(i)) {
			s.Nulls.Set(o)
		}
	}
	return s
}

func take[T any](dst, src []T, sel []int32) []T {
	var zero T
	for _, i := range sel {
		if i < 0 {
			dst = append(dst, zero)
			continue
		}
		dst = append(dst, src[i])
	}
	return dst
}

// Repeat is a vector of n rows that all equal row i of v.
func (v *Vector) Repeat(i, n int) *Vector {
	s := NewVector(v.Type, n)
	for range n {
		s.AppendRow(v, i)
	}
	return s
}

func (v *Vector) want(k Kind) {
	if v.Type.Kind() != k {
		panic(fmt.Sprintf("table: wrong representation appended to a vector of %v", v.Type))
	}
}

func (v *Vector) same(src *Vector) {
	if v.Type != src.Type {
		panic(fmt.Sprintf("table: vector of %v appended to a vector of %v", src.Type, v.Type))
	}
}
