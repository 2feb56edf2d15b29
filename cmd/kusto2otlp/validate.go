package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
	"github.com/kusto2otlp/kusto2otlp/internal/strict"
	"github.com/kusto2otlp/kusto2otlp/internal/validate"
)

// The forms in which findings are printed.
var validateOutputs = []string{"text", "json", "sarif", "github"}

// validateFlags are those of the command.
type validateFlags struct {
	files                  []string
	config, schema, output string
	online                 bool
}

func newValidate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate -f FILE|DIR|GLOB …",
		Short: "Tell everything that is wrong with MetricsExporters",
		Long: `Check MetricsExporters without running them, and report every problem at once, a
line each, as file:line:column: field: message. Columns count characters.

It always checks the YAML, the fields, schedules, criteria, the transform and the
syntax of the query, with Kusto's own parser. With --config also whether exporter,
database and labels are in the configuration; with --schema also every name in the
query, and whether it returns the columns that the transform wants. --online asks
Kusto itself and runs nothing.

A directory stands for the .yaml, .yml and .json files in it and below; documents of
other kinds in them are passed over. Without -f the files are those that --config
names. Nothing is connected to without --online.

Exit status: 0 when there are no errors (there may be warnings), 1 when there are,
2 for wrong usage.`,
		Example: `  kusto2otlp validate -f exporters/
  kusto2otlp validate -f 'exporters/*.yaml' --config pipeline.yaml --schema schema.json
  kusto2otlp validate -f exporters/ --schema sandbox -o github
  kusto2otlp validate --config pipeline.yaml --online`,
		Args: cobra.ArbitraryArgs,
	}
	var f validateFlags
	cmd.Flags().StringArrayVarP(&f.files, "file", "f", nil, "a `file`, directory or pattern; may be repeated, and be given as an argument")
	cmd.Flags().StringVar(&f.config, "config", "", "the pipeline's configuration `file`; its secrets need not be there without --online")
	cmd.Flags().StringVar(&f.schema, "schema", "", "a `file` that 'kusto2otlp schema dump' wrote, or 'sandbox' for the sample tables")
	cmd.Flags().BoolVar(&f.online, "online", false, "ask the Kusto clusters of --config what each query returns")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "text, json, sarif or github")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f.files = append(f.files, args...)
		switch {
		case len(f.files) == 0 && f.config == "":
			return usageError{errors.New("-f or --config is needed")}
		case slices.Contains(f.files, ""):
			return usageError{errors.New("-f must not be empty")}
		case f.online && f.config == "":
			return usageError{errors.New("--online needs --config")}
		case !slices.Contains(validateOutputs, f.output):
			return usageError{fmt.Errorf("-o must be %s or %s, got %q", strings.Join(validateOutputs[:3], ", "), validateOutputs[3], f.output)}
		}
		return runValidate(cmd.Context(), f, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

func runValidate(ctx context.Context, f validateFlags, out, errs io.Writer) error {
	parser, err := parserOfProcess()
	if err != nil {
		return err
	}
	cfg := validate.Config{Parser: parser, Engines: parserEngines}
	if cfg.Schema, err = readSchema(f.schema); err != nil {
		return err
	}
	var report validate.Report
	if f.config != "" {
		pipeline, err := loadFor(f)
		var problems strict.Problems
		switch {
		case errors.As(err, &problems):
			// The resources can be checked all the same, though not against it.
			report.Files++
			report.Findings = validate.FromProblems(problems)
		case err != nil:
			return err
		default:
			cfg.Pipeline = pipelineOf(pipeline)
			if len(f.files) == 0 {
				f.files = pipeline.Resources.Files
			}
		}
		if f.online && pipeline != nil {
			asker := newAsker(pipeline)
			defer asker.close()
			cfg.Asker = asker
		}
	}
	if len(f.files) > 0 {
		r, err := validate.Run(ctx, cfg, f.files)
		if err != nil {
			return err
		}
		r.Files += report.Files
		r.Findings = append(report.Findings, r.Findings...)
		report = *r
	}
	if err := printFindings(out, report.Findings, f.output); err != nil {
		return err
	}
	fmt.Fprintln(errs, report.Summary())
	if report.Count(validate.Error) > 0 {
		return reportedError{}
	}
	return nil
}

// loadFor reads the configuration; secrets are needed only by those who connect.
func loadFor(f validateFlags) (*config.Config, error) {
	if f.online {
		return config.Load(f.config)
	}
	return config.LoadOffline(f.config)
}

func pipelineOf(cfg *config.Config) *validate.Pipeline {
	return &validate.Pipeline{
		Exporters: cfg.ExporterNames(), Databases: cfg.Databases(), Labels: cfg.Labels,
		Cluster: func(database string) string {
			k, _ := cfg.ClusterFor(database)
			return k.Name
		},
	}
}

// readSchema reads --schema; nil when there is none.
func readSchema(path string) (*schemafile.File, error) {
	switch path {
	case "":
		return nil, nil
	case sandboxSchema:
		return sandboxSchemaFile(), nil
	}
	return schemafile.Read(path)
}

func printFindings(out io.Writer, findings []validate.Finding, output string) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	switch output {
	case "json":
		return validate.WriteJSON(out, findings)
	case "sarif":
		return validate.WriteSARIF(out, findings, dir, version)
	case "github":
		return validate.WriteGitHub(out, findings, dir)
	}
	f, ok := out.(*os.File)
	colour := ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
	return validate.WriteText(out, findings, colour)
}
