//go:build race && !fastparser

package validate_test

// slowParser skips the tests that need the KQL parser: see package kql.
const slowParser = true
