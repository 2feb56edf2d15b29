package criteria

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Matcher decides by criteria and an expression. It may be used by several
// goroutines.
type Matcher struct {
	criteria   map[string][]string
	keys       []string // of criteria, sorted
	expression *expression
}

// A FieldError says what is wrong with a field of a spec.
type FieldError struct {
	// Field is criteria.KEY, with the key as Key, or criteriaExpression.
	Field string
	// Key is the key of the criteria at fault; empty for the expression.
	Key string
	// Message names value and bound.
	Message string
}

// Error prints the field and the message.
func (e *FieldError) Error() string { return e.Field + ": " + e.Message }

// New compiles the criteria and the expression of a spec, either of which may
// be empty. Its error joins *FieldErrors, one for each field at fault.
func New(criteria map[string][]string, expression string) (*Matcher, error) {
	m, problems := parse(criteria, expression)
	if len(problems) == 0 {
		return m, nil
	}
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return nil, errors.Join(errs...)
}

// Check returns what New would complain about, field by field.
func Check(criteria map[string][]string, expression string) []*FieldError {
	_, problems := parse(criteria, expression)
	return problems
}

func parse(criteria map[string][]string, expression string) (*Matcher, []*FieldError) {
	m := &Matcher{criteria: make(map[string][]string, len(criteria)), keys: slices.Sorted(maps.Keys(criteria))}
	var problems []*FieldError
	for _, key := range m.keys {
		values := slices.Clone(criteria[key])
		m.criteria[key] = values
		switch {
		case key == "":
			problems = append(problems, &FieldError{"criteria", key, "a key must not be empty"})
		case len(values) == 0:
			problems = append(problems, &FieldError{"criteria." + key, key, "must have at least one value: without one it could never match"})
		}
	}
	if strings.TrimSpace(expression) != "" {
		e, err := compile(expression)
		if err != nil {
			problems = append(problems, &FieldError{"criteriaExpression", "", err.Error()})
		}
		m.expression = e
	}
	return m, problems
}

// Match says whether an instance with these labels is meant. An error means
// that the expression could not be evaluated for them.
func (m *Matcher) Match(labels map[string]string) (bool, error) {
	for _, key := range m.keys {
		value, ok := labels[key]
		if !ok || !slices.ContainsFunc(m.criteria[key], func(v string) bool { return strings.EqualFold(v, value) }) {
			return false, nil
		}
	}
	if m.expression == nil {
		return true, nil
	}
	match, err := m.expression.eval(labels)
	if err != nil {
		return false, fmt.Errorf("evaluate criteriaExpression: %w", err)
	}
	return match, nil
}

// Labels returns the names of the labels that the answer depends on, sorted,
// as far as the text tells: a key that an expression computes is not among
// them. A name that no instance has is likely a mistake.
func (m *Matcher) Labels() []string {
	names := slices.Clone(m.keys)
	if m.expression != nil {
		names = append(names, m.expression.names...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
