//go:build !race || fastparser

package kql

const slowParser = false
