//go:build !race || fastparser

package validate_test

const slowParser = false
