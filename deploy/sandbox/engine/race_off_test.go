//go:build !race || fastparser

package engine

const slowParser = false
