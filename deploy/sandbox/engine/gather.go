package engine

import (
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	// The deprecated forms give 128 elements at most.
	aggregates["make_list"] = bindMakeList(mostElements, false)
	aggregates["makelist"] = bindMakeList(128, false)
	aggregates["make_list_with_nulls"] = bindMakeList(mostElements, true)
	aggregates["make_set"] = bindMakeSet(mostElements)
	aggregates["makeset"] = bindMakeSet(128)
	aggregates["make_bag"] = bindMakeBag(mostElements)
	aggregates["make_dictionary"] = bindMakeBag(128)
	for _, name := range []string{"make_list", "make_set", "make_bag"} {
		aggregates[name+"_if"] = bindIf(aggregates[name])
	}
	for name, f := range map[string]func(a, b int64) int64{
		"binary_all_and": func(a, b int64) int64 { return a & b },
		"binary_all_or":  func(a, b int64) int64 { return a | b },
		"binary_all_xor": func(a, b int64) int64 { return a ^ b },
	} {
		aggregates[name] = bindBinaryAll(f)
	}
}

// gathered makes the first argument dynamic; the second is how many elements there may be.
func (c *call) gathered(most int) (int, error) {
	if len(c.args) == 2 {
		k := c.args[1].konst
		if !integral(c.args[1].typ) || k == nil || k.IsNull(0) || k.Ints[0] <= 0 {
			return 0, c.unsupported("with this maximum size")
		}
		most = int(min(k.Ints[0], mostElements))
		c.args = c.args[:1]
	}
	if c.typ != table.Dynamic {
		return 0, c.ofTypes()
	}
	return most, c.become(0, table.Dynamic)
}

// bindMakeList is the values of a group in the order of the rows, without nulls unless they are asked for.
func bindMakeList(most int, nulls bool) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		most, err := c.gathered(most)
		if err != nil {
			return nil, err
		}
		limit := c.c.opts.MaxRows
		return func() aggregator { return &lister{most: most, nulls: nulls, limit: limit} }, nil
	}
}

type lister struct {
	most, limit int
	nulls       bool
	lists       [][]string
	n           int
}

func (a *lister) err() error {
	if a.n > a.limit {
		return &LimitError{Operator: "make_list", Limit: a.limit}
	}
	return nil
}

func (a *lister) grow(groups int) { a.lists = extend(a.lists, groups) }
func (a *lister) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || len(a.lists[id]) >= a.most {
			continue
		}
		e := "null"
		if !missing(v, j) {
			e = v.Strings[j]
		} else if !a.nulls {
			continue
		}
		a.lists[id] = append(a.lists[id], e)
		a.n++
	}
}

func (a *lister) result() *table.Vector {
	v := zeros(table.Dynamic, len(a.lists))
	for i, l := range a.lists {
		v.Strings[i] = array(l)
	}
	return v
}

// bindMakeSet is the different values of a group in the order they are first seen; arrays count as their elements.
func bindMakeSet(most int) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		isDynamic := c.args[0].typ == table.Dynamic
		most, err := c.gathered(most)
		if err != nil {
			return nil, err
		}
		limit := c.c.opts.MaxRows
		return func() aggregator { return &setter{most: most, limit: limit, flatten: isDynamic} }, nil
	}
}

type setter struct {
	most, limit int
	flatten     bool
	sets        []*bag // of the elements, by what they are equal by
	n           int
}

func (a *setter) err() error {
	if a.n > a.limit {
		return &LimitError{Operator: "make_set", Limit: a.limit}
	}
	return nil
}

func (a *setter) grow(groups int) {
	for len(a.sets) < groups {
		a.sets = append(a.sets, newBag())
	}
}

func (a *setter) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || missing(v, j) {
			continue
		}
		if a.flatten {
			if es, ok := elements(v.Strings[j]); ok {
				for _, e := range es {
					if e != "null" {
						a.put(id, elementKey(e), e)
					}
				}
				continue
			}
			a.put(id, elementKey(v.Strings[j]), v.Strings[j])
			continue
		}
		key := v.Strings[j]
		if key == "-0.0" {
			key = "0.0" // the real: of strings, the quotes are there too
		}
		a.put(id, key, v.Strings[j])
	}
}

func (a *setter) put(id int32, key, e string) {
	s := a.sets[id]
	if len(s.members) >= a.most {
		return
	}
	before := len(s.members)
	s.add(key, e)
	a.n += len(s.members) - before
}

func (a *setter) result() *table.Vector {
	v := zeros(table.Dynamic, len(a.sets))
	for i, s := range a.sets {
		es := make([]string, len(s.members))
		for j, m := range s.members {
			es[j] = m.value
		}
		v.Strings[i] = array(es)
	}
	return v
}

// bindMakeBag is all properties of a group's bags; of a name that several have, the first.
func bindMakeBag(most int) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		if c.args[0].typ != table.Dynamic {
			return nil, c.ofTypes()
		}
		most, err := c.gathered(most)
		if err != nil {
			return nil, err
		}
		return func() aggregator { return &bagger{most: most} }, nil
	}
}

type bagger struct {
	most int
	bags []*bag
}

func (a *bagger) grow(groups int) {
	for len(a.bags) < groups {
		a.bags = append(a.bags, newBag())
	}
}

func (a *bagger) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || v.IsNull(j) {
			continue
		}
		ms, _ := members(v.Strings[j])
		for _, m := range ms {
			if b := a.bags[id]; len(b.members) < a.most {
				b.add(m.name, m.value)
			}
		}
	}
}

func (a *bagger) result() *table.Vector {
	v := zeros(table.Dynamic, len(a.bags))
	for i, b := range a.bags {
		v.Strings[i] = b.text()
	}
	return v
}

// bindBinaryAll puts the bits of all values together; over nothing it is null.
func bindBinaryAll(f func(a, b int64) int64) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		if !integral(c.args[0].typ) || c.args[0].typ != c.typ {
			return nil, c.ofTypes()
		}
		return func() aggregator { return &bitter{typ: c.typ, f: f} }, nil
	}
}

type bitter struct {
	typ table.Type
	f   func(a, b int64) int64
	x   []int64
	has []bool
}

func (a *bitter) grow(groups int) { a.x, a.has = extend(a.x, groups), extend(a.has, groups) }
func (a *bitter) add(ids []int32, args []operand) {
	v := args[0]
	for i, id := range ids {
		j := i * v.step
		if id < 0 || v.IsNull(j) {
			continue
		}
		if a.has[id] {
			a.x[id] = a.f(a.x[id], v.Ints[j])
		} else {
			a.x[id], a.has[id] = v.Ints[j], true
		}
	}
}

func (a *bitter) result() *table.Vector {
	v := zeros(a.typ, len(a.x))
	copy(v.Ints, a.x)
	for i, has := range a.has {
		if !has {
			v.SetNull(i)
		}
	}
	return v
}
