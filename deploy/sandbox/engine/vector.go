package engine

import "github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"

// batch is some rows during evaluation. n counts them also when there are no columns.
type batch struct {
	n    int
	cols []*table.Vector
}

// operand is the value of an expression over a batch: a vector of its rows, with step 1, or a
// constant, of one row and step 0. Row i of the batch is element i*step.
type operand struct {
	*table.Vector
	step int
}

func rows(v *table.Vector) operand     { return operand{v, 1} }
func constant(v *table.Vector) operand { return operand{v, 0} }

// full is the operand as a vector of n rows.
func (o operand) full(n int) *table.Vector {
	if o.step == 1 {
		return o.Vector
	}
	return o.Repeat(0, n)
}

// elem is what the slices of a vector hold.
type elem interface{ int64 | float64 | string }

// values is the slice of v that holds its values; T must be that of its type.
func values[T elem](v *table.Vector) []T {
	var p any
	var zero T
	switch any(zero).(type) {
	case int64:
		p = v.Ints
	case float64:
		p = v.Reals
	default:
		p = v.Strings
	}
	return p.([]T)
}

// zeros is a vector of n zero values, none of them null.
func zeros(t table.Type, n int) *table.Vector {
	v := &table.Vector{Type: t}
	switch t.Kind() {
	case table.Ints:
		v.Ints = make([]int64, n)
	case table.Reals:
		v.Reals = make([]float64, n)
	case table.Strings:
		v.Strings = make([]string, n)
	}
	return v
}

// nulls is a vector of n nulls; of empty strings when t is string.
func nulls(t table.Type, n int) *table.Vector {
	v := zeros(t, n)
	for i := range n {
		v.SetNull(i)
	}
	return v
}

// lift1 makes an operator on vectors of one on values. Null gives null, and so does f when it says
// that there is no value.
func lift1[A, R elem](t table.Type, f func(A) (R, bool)) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		a := args[0]
		av, out := values[A](a.Vector), zeros(t, n)
		ov, check := values[R](out), a.HasNulls()
		for i := range n {
			ai := i * a.step
			if check && a.IsNull(ai) {
				out.SetNull(i)
				continue
			}
			r, ok := f(av[ai])
			if !ok {
				out.SetNull(i)
				continue
			}
			ov[i] = r
		}
		return out, nil
	}
}

// lift2 is lift1 for two arguments.
func lift2[A, B, R elem](t table.Type, f func(A, B) (R, bool)) kernel {
	return func(args []operand, n int) (*table.Vector, error) {
		a, b := args[0], args[1]
		av, bv, out := values[A](a.Vector), values[B](b.Vector), zeros(t, n)
		ov, check := values[R](out), a.HasNulls() || b.HasNulls()
		for i := range n {
			ai, bi := i*a.step, i*b.step
			if check && (a.IsNull(ai) || b.IsNull(bi)) {
				out.SetNull(i)
				continue
			}
			r, ok := f(av[ai], bv[bi])
			if !ok {
				out.SetNull(i)
				continue
			}
			ov[i] = r
		}
		return out, nil
	}
}

// remembering makes a function of strings cheap on columns that repeat a few: it is called once for
// each distinct one of a batch.
func remembering[R elem](f func(string) (R, bool)) func() func(string) (R, bool) {
	type result struct {
		r  R
		ok bool
	}
	return func() func(string) (R, bool) {
		// Not worth remembering more: a column with so many values in a batch does not repeat itself.
		const most = 1024
		seen := make(map[string]result)
		return func(s string) (R, bool) {
			if x, ok := seen[s]; ok {
				return x.r, x.ok
			}
			r, ok := f(s)
			if len(seen) < most {
				seen[s] = result{r, ok}
			}
			return r, ok
		}
	}
}

// liftText is lift1 over strings, with f remembered.
func liftText[R elem](t table.Type, f func(string) (R, bool)) kernel {
	fresh := remembering(f)
	return func(args []operand, n int) (*table.Vector, error) {
		return lift1(t, fresh())(args, n)
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
