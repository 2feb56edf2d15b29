// Package config reads pipeline.yaml, the configuration of every command.
//
// What arrives is the path of a file; what leaves is a [Config] in which every
// value is explicit and within its bounds: defaults, then the file, then
// [Config.Validate]. In any value ${env:NAME} stands for a variable of the
// environment, ${file:PATH} for the content of a file less one newline at its
// end (a relative PATH starts at the configuration file's directory), and $$
// for a dollar sign.
//
// All other paths of a configuration (dataDir, resources.files, caFile, …) are
// relative to the working directory.
//
// What fails: an unknown key, a wrong type, a value out of its bounds, a
// missing variable or file, and whatever this version does not do. All of them
// are told at once, each as file:line:column: field: message. Secrets are of
// type [Secret], which prints as [redacted] wherever it is printed, and no
// message quotes a value that a reference brought in.
package config
