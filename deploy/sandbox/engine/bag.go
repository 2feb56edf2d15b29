package engine

import (
	"slices"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	functions["bag_keys"] = scalar("dynamic: dynamic", bagKeys)
	functions["bag_has_key"] = bindBagHasKey
	functions["bag_merge"] = scalar("dynamic: dynamic dynamic*", bagMerge)
	functions["bag_remove_keys"] = scalar("dynamic: dynamic dynamic", bagRemoveKeys)
	functions["bag_set_key"] = bindBagSetKey
	functions["bag_zip"] = scalar("dynamic: dynamic dynamic", bagZip)
	functions["bag_pack"] = bindBagPack
	functions["pack"] = bindBagPack
	functions["pack_dictionary"] = bindBagPack
	functions["bag_pack_columns"] = bindBagPackColumns
	functions["pack_all"] = bindPackAll

	functions["set_union"] = scalar("dynamic: dynamic dynamic*", setOf(func(in, _ int) bool { return in > 0 }))
	functions["set_intersect"] = scalar("dynamic: dynamic dynamic*", setOf(func(in, sets int) bool { return in == 1<<sets-1 }))
	functions["set_difference"] = scalar("dynamic: dynamic dynamic*", setOf(func(in, _ int) bool { return in == 1 }))
	functions["set_has_element"] = bindSetHasElement
	functions["set_equals"] = scalar("bool: dynamic dynamic", setEquals)
}

func bagKeys(r row) (string, bool) {
	ms, ok := members(r.text(0))
	var keys []string
	for _, m := range ms {
		keys = append(keys, quote(m.name))
	}
	return array(keys), ok
}

// bindBagHasKey takes a property's name, or a path of names that begins with $.
func bindBagHasKey(c *call) (kernel, error) {
	return scalar("bool: dynamic string", func(r row) (int64, bool) {
		ms, ok := members(r.text(0))
		if !ok {
			return 0, false
		}
		path, isPath := jsonPath(r.text(1))
		if !isPath {
			path = []step{{name: r.text(1)}}
		}
		for i, s := range path {
			at := slices.IndexFunc(ms, func(m member) bool { return m.name == s.name })
			if at < 0 {
				return 0, true
			}
			if ms, ok = members(ms[at].value); !ok && i < len(path)-1 {
				return 0, true
			}
		}
		return 1, true
	})(c)
}

// bagMerge keeps, of properties that several bags have, the first: which one the service keeps is arbitrary.
func bagMerge(r row) (string, bool) {
	b := newBag()
	for j := range r.args {
		ms, ok := members(r.text(j))
		if !ok {
			return "", false
		}
		for _, m := range ms {
			b.add(m.name, m.value)
		}
	}
	return b.text(), true
}

// bagRemoveKeys takes names, and paths of names that begin with $.
func bagRemoveKeys(r row) (string, bool) {
	keys, ok := elements(r.text(1))
	if _, isBag := members(r.text(0)); !isBag || !ok {
		return "", false
	}
	text := r.text(0)
	for _, k := range keys {
		name, _ := textElement(k)
		path, isPath := jsonPath(name)
		if !isPath {
			path = []step{{name: name}}
		}
		text = without(text, path)
	}
	return text, true
}

func without(text string, path []step) string {
	ms, ok := members(text)
	if !ok || len(path) == 0 {
		return text
	}
	at := slices.IndexFunc(ms, func(m member) bool { return m.name == path[0].name })
	switch {
	case at < 0:
		return text
	case len(path) == 1:
		ms = slices.Delete(ms, at, at+1)
	default:
		ms[at].value = without(ms[at].value, path[1:])
	}
	return object(ms)
}

func bindBagSetKey(c *call) (kernel, error) {
	key, err := c.constText(1)
	if err != nil {
		return nil, err
	}
	if _, isPath := jsonPath(key); isPath {
		return nil, c.unsupported("with a path")
	}
	if err := c.become(2, table.Dynamic); err != nil {
		return nil, err
	}
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		if r.null(0) {
			return "", false
		}
		ms, ok := members(r.text(0))
		b := newBag()
		for _, m := range ms {
			b.set(m.name, m.value)
		}
		b.set(key, r.json(2))
		return b.text(), ok
	}), nil
}

// bagZip pairs names with values; names without a value have null, values without a name are left out.
func bagZip(r row) (string, bool) {
	keys, ok1 := elements(r.text(0))
	vals, ok2 := elements(r.text(1))
	b := newBag()
	for i, k := range keys {
		name, ok := textElement(k)
		if !ok {
			continue
		}
		v := "null"
		if i < len(vals) {
			v = vals[i]
		}
		b.set(name, v)
	}
	return b.text(), ok1 && ok2
}

// bindBagPack makes a bag of names and values that take turns.
func bindBagPack(c *call) (kernel, error) {
	if len(c.args)%2 != 0 {
		return nil, c.ofTypes()
	}
	for i := range c.args {
		t := table.String
		if i%2 == 1 {
			t = table.Dynamic
		}
		if err := c.become(i, t); err != nil {
			return nil, err
		}
	}
	return packed(), nil
}

// packed is the kernel of names and dynamic values that take turns.
func packed() kernel {
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		b := newBag()
		for j := 0; j < len(r.args); j += 2 {
			b.set(r.text(j), r.json(j+1))
		}
		return b.text(), true
	})
}

func bindBagPackColumns(c *call) (kernel, error) {
	var args []*expr
	for i, n := range c.node.Arguments() {
		if n.Kind != "NameReference" {
			return nil, c.unsupported("of anything but columns")
		}
		args = append(args, konst(&table.Vector{Type: table.String, Strings: []string{n.Name}}), c.args[i])
	}
	c.args = args
	return bindBagPack(c)
}

// bindPackAll makes a bag of all columns; its argument, when true, leaves out nulls and empty strings.
func bindPackAll(c *call) (kernel, error) {
	ignore := false
	if len(c.args) == 1 {
		if c.args[0].typ != table.Bool || c.args[0].konst == nil {
			return nil, c.ofTypes()
		}
		ignore = c.args[0].konst.Ints[0] != 0
	}
	c.args = nil
	for i, f := range c.c.scope {
		c.args = append(c.args, konst(&table.Vector{Type: table.String, Strings: []string{f.Name}}), columnExpr(i, f.Type))
	}
	if _, err := bindBagPack(c); err != nil || !ignore {
		return packed(), err
	}
	return liftNullable(table.Dynamic, func(r row) (string, bool) {
		b := newBag()
		for j := 0; j < len(r.args); j += 2 {
			if v := r.json(j + 1); v != "null" && v != `""` {
				b.set(r.text(j), v)
			}
		}
		return b.text(), true
	}), nil
}

// setOf is the distinct elements of some arrays that keep says to keep, in the order they are first seen. in has bit j
// for being in array j.
func setOf(keep func(in, sets int) bool) func(r row) (string, bool) {
	return func(r row) (string, bool) {
		in := make(map[string]int)
		var order, keys []string
		for j := range r.args {
			a, ok := elements(r.text(j))
			if !ok {
				return "", false
			}
			for _, e := range a {
				k := elementKey(e)
				if _, seen := in[k]; !seen {
					order, keys = append(order, e), append(keys, k)
				}
				in[k] |= 1 << j
			}
		}
		var out []string
		for i, e := range order {
			if keep(in[keys[i]], len(r.args)) {
				out = append(out, e)
			}
		}
		return array(out), true
	}
}

func bindSetHasElement(c *call) (kernel, error) {
	if err := c.become(1, table.Dynamic); err != nil {
		return nil, err
	}
	return scalar("bool: dynamic dynamic", func(r row) (int64, bool) {
		a, ok := elements(r.text(0))
		return truth(slices.ContainsFunc(a, func(e string) bool { return sameElement(e, r.text(1)) })), ok
	})(c)
}

func setEquals(r row) (int64, bool) {
	a, ok1 := elements(r.text(0))
	b, ok2 := elements(r.text(1))
	within := func(a, b []string) bool {
		return !slices.ContainsFunc(a, func(x string) bool {
			return !slices.ContainsFunc(b, func(y string) bool { return sameElement(x, y) })
		})
	}
	return truth(within(a, b) && within(b, a)), ok1 && ok2
}
