//go:build !race || fastparser

package sandbox_test

const slowParser = false
