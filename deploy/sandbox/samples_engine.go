package sandbox

import "errors"

// useSamples makes the server evaluate KQL over the samples.
func (c *Config) useSamples() error {
	return errors.New("an engine is required")
}
