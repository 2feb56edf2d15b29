// Package criteria decides whether a MetricsExporter runs at an instance, from
// the instance's labels.
//
// What arrives is the criteria and the criteriaExpression of a spec, and later
// the labels; what leaves is yes or no. Every key of the criteria must be a
// label (by its exact name) with one of the key's values (regardless of case),
// and the expression must be true as well. Without either, the answer is yes.
//
// The expression is CEL (https://cel.dev). In it every label is a string by its
// own name, which is "" where the instance has no such label: the labels of
// other instances are not known when an expression is checked, and
// environment == 'production' is simply false where there is no environment.
// The map labels holds all of them, for names that CEL does not allow as a
// variable (data-classification, namespace) or has itself (type, int, labels):
// labels["data-classification"], and it gives "" in the same way.
// Whether a label is there tells "team" in labels, or has(labels.team).
// Strings compare by case.
//
// What fails: a key without values, which could never match, and an expression
// that does not compile to a bool are refused by [New]. Evaluation is bounded,
// and what exceeds the bound is an error of Match.
package criteria
