package criteria_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kusto2otlp/kusto2otlp/internal/criteria"
)

func TestMatch(t *testing.T) {
	labels := map[string]string{
		"region": "EastUS", "team": "core", "environment": "production", "data-classification": "open",
		"empty": "", "type": "t", "namespace": "n", "labels": "l",
	}
	type values = map[string][]string
	for name, tt := range map[string]struct {
		criteria   values
		expression string
		want       bool
	}{
		"OKNothing":           {nil, "", true},
		"OKBlankExpression":   {nil, " \n", true},
		"OKValue":             {values{"region": {"westus", "eastus"}}, "", true},
		"OKOtherValue":        {values{"region": {"westus"}}, "", false},
		"OKAllKeys":           {values{"region": {"eastus"}, "team": {"CORE"}}, "", true},
		"OKOneKeyFails":       {values{"region": {"eastus"}, "team": {"other"}}, "", false},
		"OKNoSuchLabel":       {values{"zone": {"1"}}, "", false},
		"OKNoSuchLabelEmpty":  {values{"zone": {""}}, "", false},
		"OKEmptyValue":        {values{"empty": {""}}, "", true},
		"OKKeyCase":           {values{"Region": {"eastus"}}, "", false},
		"OKBoth":              {values{"team": {"core"}}, "environment == 'production'", true},
		"OKBothFails":         {values{"team": {"core"}}, "environment == 'test'", false},
		"OKCriteriaFails":     {values{"team": {"x"}}, "environment == 'production'", false},
		"OKExpressionCase":    {nil, "region == 'eastus'", false},
		"OKLower":             {nil, "region.matches('(?i)^eastus$')", true},
		"OKMissing":           {nil, "zone == 'a'", false},
		"OKMissingNot":        {nil, "zone != 'a'", true},
		"OKMissingIsEmpty":    {nil, "zone == ''", true},
		"OKDash":              {nil, `labels["data-classification"] == "open"`, true},
		"OKIndexMissing":      {nil, `labels["no-such"] == "open"`, false},
		"OKIn":                {nil, `"team" in labels && !("zone" in labels)`, true},
		"OKHas":               {nil, `has(labels.team) && !has(labels.zone)`, true},
		"OKSelect":            {nil, `labels.team == "core" && labels.zone == ""`, true},
		"OKIteration":         {nil, `labels.exists(k, k.startsWith("data") && labels[k] == "open") && labels.size() == 8`, true},
		"OKShadow":            {nil, `["a", "core"].exists(x, x == team) && [1, 2].all(team, team > 0)`, true},
		"OKList":              {nil, `team in ["core", "edge"]`, true},
		"OKReserved":          {nil, `labels["namespace"] == "n" && labels["type"] == "t" && labels["labels"] == "l"`, true},
		"OKTypes":             {nil, `type(team) == string`, true},
		"OKTernary":           {nil, `team == "core" ? true : false`, true},
		"OKConstant":          {nil, "false", false},
		"OKComputedKey":       {nil, `labels["te" + "am"] == "core"`, true},
		"OKMultipleLines":     {nil, "team == 'core' &&\n  environment == 'production'\n", true},
		"OKUnicodeInLiterals": {nil, "team == 'größe'", false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := criteria.New(tt.criteria, tt.expression)
			require.NoError(t, err)
			got, err := m.Match(labels)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	t.Run("OKNoLabels", func(t *testing.T) {
		m, err := criteria.New(nil, "team == '' && labels.size() == 0")
		require.NoError(t, err)
		got, err := m.Match(nil)
		require.NoError(t, err)
		require.True(t, got)
	})
	t.Run("ErrEvaluation", func(t *testing.T) {
		m, err := criteria.New(nil, "int(team) > 0")
		require.NoError(t, err)
		_, err = m.Match(labels)
		require.EqualError(t, err, `evaluate criteriaExpression: type conversion error from 'string' to 'int'`)
	})
	t.Run("ErrCost", func(t *testing.T) {
		all := `labels.all(a, labels.all(b, labels.all(c, labels.all(d, labels.all(e, labels.all(f, a + b + c + d + e + f != ""))))))`
		m, err := criteria.New(nil, all)
		require.NoError(t, err)
		_, err = m.Match(labels)
		require.EqualError(t, err, "evaluate criteriaExpression: operation cancelled: actual cost limit exceeded")
	})
	t.Run("OKConcurrent", func(t *testing.T) {
		m, err := criteria.New(map[string][]string{"team": {"core"}}, `labels["data-classification"] == "open" && team == "core"`)
		require.NoError(t, err)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 100 {
					if ok, err := m.Match(labels); !ok || err != nil {
						t.Error(ok, err)
					}
				}
			})
		}
		group.Wait()
	})
}

func TestNew(t *testing.T) {
	for name, tt := range map[string]struct {
		criteria   map[string][]string
		expression string
		want       string
	}{
		"ErrNoValues":    {map[string][]string{"b": {}, "a": nil}, "", "criteria.a: must have at least one value: without one it could never match\ncriteria.b: must have at least one value: without one it could never match"},
		"ErrEmptyKey":    {map[string][]string{"": {"a"}}, "", "criteria: a key must not be empty"},
		"ErrNotBool":     {nil, "1 + 1", "criteriaExpression: must be true or false, is of type int"},
		"ErrLabels":      {nil, "labels", "criteriaExpression: must be true or false, is of type map(string, string)"},
		"ErrSyntax":      {nil, "team = 'a'", "criteriaExpression: is not valid CEL: 1:6: Syntax error: token recognition error at: '= '; 1:8: Syntax error: extraneous input ''a'' expecting <EOF>"},
		"ErrTypes":       {nil, "team > 3", "criteriaExpression: is not valid CEL: 1:6: found no matching overload for '_>_' applied to '(string, int)'"},
		"ErrDash":        {nil, "data-classification == 'a'", "criteriaExpression: is not valid CEL: 1:5: found no matching overload for '_-_' applied to '(string, string)'"},
		"ErrSelect":      {nil, "a.b == 'c'", "criteriaExpression: is not valid CEL: 1:2: type 'string' does not support field selection"},
		"ErrFunction":    {nil, "nope(team)", "criteriaExpression: is not valid CEL: 1:5: undeclared reference to 'nope'"},
		"ErrHas":         {nil, "has(team)", "criteriaExpression: is not valid CEL: 1:5: has() takes a label, as in has(labels.team)"},
		"ErrReserved":    {nil, "namespace == 'a'", "criteriaExpression: is not valid CEL: 1:1: reserved identifier: namespace"},
		"ErrSecondLine":  {nil, "team == 'a' &&\n team > 3", "criteriaExpression: is not valid CEL: 2:7: found no matching overload for '_>_' applied to '(string, int)'"},
		"ErrTypeAsLabel": {nil, "type == 'a'", "criteriaExpression: is not valid CEL: 1:6: found no matching overload for '_==_' applied to '(type(type), string)'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := criteria.New(tt.criteria, tt.expression)
			require.EqualError(t, err, tt.want)
			var field *criteria.FieldError
			require.ErrorAs(t, err, &field)
		})
	}
}

func TestLabels(t *testing.T) {
	m, err := criteria.New(map[string][]string{"region": {"a"}},
		`team == "a" && labels["data-classification"] == "b" && "zone" in labels && labels.x == "" && has(labels.y) && [1].all(i, i > 0) && region != ""`)
	require.NoError(t, err)
	require.Equal(t, []string{"data-classification", "region", "team", "x", "y", "zone"}, m.Labels())
}

func FuzzNew(f *testing.F) {
	f.Add(`team == "a" && labels["data-classification"] == "b"`)
	f.Add(`has(labels.x) || labels.exists(k, k == "x")`)
	f.Add(`{"a": team}["a"] == x.y`)
	f.Fuzz(func(t *testing.T, expression string) {
		m, err := criteria.New(nil, expression)
		if err != nil {
			return
		}
		_, _ = m.Match(map[string]string{"team": "a"})
		m.Labels()
	})
}

func BenchmarkMatch(b *testing.B) {
	m, err := criteria.New(map[string][]string{"region": {"westus", "eastus"}}, `environment == "production" && labels["data-classification"] == "open"`)
	require.NoError(b, err)
	labels := map[string]string{"region": "eastus", "environment": "production", "data-classification": "open"}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Match(labels)
	}
}
