package engine

import (
	"math"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/table"
)

func init() {
	for name, population := range map[string]bool{"variance": false, "variancep": true} {
		aggregates[name] = bindSpread(population, false)
		aggregates[name+"if"] = bindIf(aggregates[name])
	}
	for name, population := range map[string]bool{"stdev": false, "stdevp": true} {
		aggregates[name] = bindSpread(population, true)
	}
	aggregates["stdevif"] = bindIf(aggregates["stdev"])
}

// bindSpread is variance, of the group as a sample or as the whole population, or its root. Over nothing it is 0
// (docs, "Default values of aggregations"), and so it is for a sample of one.
func bindSpread(population, root bool) func(c *call) (func() aggregator, error) {
	return func(c *call) (func() aggregator, error) {
		t := c.args[0].typ
		if c.typ != table.Real || !numeric(t) && t != table.Decimal {
			return nil, c.ofTypes()
		}
		if err := c.to(0, table.Real); err != nil {
			return nil, err
		}
		return func() aggregator { return &spread{population: population, root: root} }, nil
	}
}

// spread keeps the sum of the squares of differences from the mean (Welford), which is exact where a sum of squares is not.
type spread struct {
	population, root bool
	n, mean, squares []float64
}

func (a *spread) grow(groups int) {
	a.n, a.mean, a.squares = extend(a.n, groups), extend(a.mean, groups), extend(a.squares, groups)
}

func (a *spread) add(ids []int32, args []operand) {
	v := args[0]
	check := v.HasNulls()
	for i, id := range ids {
		j := i * v.step
		if id < 0 || check && v.IsNull(j) {
			continue
		}
		x := v.Reals[j]
		a.n[id]++
		d := x - a.mean[id]
		a.mean[id] += d / a.n[id]
		a.squares[id] += d * (x - a.mean[id])
	}
}

func (a *spread) result() *table.Vector {
	v := zeros(table.Real, len(a.n))
	for i, n := range a.n {
		if !a.population {
			n--
		}
		x := a.squares[i]
		if n > 0 {
			x /= n
		}
		if a.root {
			x = math.Sqrt(x)
		}
		v.Reals[i] = x
	}
	return v
}
