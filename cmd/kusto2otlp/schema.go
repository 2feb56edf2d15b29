package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox"
	"github.com/kusto2otlp/kusto2otlp/deploy/sandbox/samples"
	"github.com/kusto2otlp/kusto2otlp/internal/config"
	"github.com/kusto2otlp/kusto2otlp/internal/schemafile"
)

// sandboxSchema is what --schema says for the sandbox's sample tables.
const sandboxSchema = "sandbox"

func newSchema() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "schema",
		Short:   "Work with the schema that 'validate' checks queries against",
		Example: "  kusto2otlp schema dump --config pipeline.yaml -o schema.json",
		Args:    noArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSchemaDump())
	return cmd
}

func newSchemaDump() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write the tables, views and functions of the configured databases to a file",
		Long: `Ask each Kusto cluster of the configuration for the schema of the databases that it
serves there, and write one JSON file for 'validate --schema'. Its order depends on
nothing but the content, so that it can be kept in a repository and compared.

It has names, columns with their types, and functions with their text: no rows, and
no credentials. The right to view the database is enough.`,
		Example: `  kusto2otlp schema dump --config pipeline.yaml -o schema.json
  kusto2otlp schema dump --config pipeline.yaml --kusto telemetry
  kusto2otlp schema dump --sandbox -o schema.json`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	kusto := cmd.Flags().String("kusto", "", "only the cluster of this `name` in the configuration")
	fromSandbox := cmd.Flags().Bool("sandbox", false, "the sandbox's sample tables; no configuration is needed")
	output := cmd.Flags().StringP("output", "o", "", "the `file` to write; standard output when empty")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var file *schemafile.File
		switch {
		case *fromSandbox && (*kusto != "" || cmd.Flags().Changed("config")):
			return usageError{errors.New("--sandbox takes neither --config nor --kusto")}
		case *fromSandbox:
			file = sandboxSchemaFile()
		default:
			cfg, err := config.Load(*path)
			if err != nil {
				return err
			}
			if file, err = dumpSchema(cmd.Context(), cfg, *kusto); err != nil {
				return err
			}
		}
		return writeSchema(file, *output, cmd.OutOrStdout(), cmd.ErrOrStderr())
	}
	return cmd
}

// sandboxSchemaFile is the schema of the samples.
func sandboxSchemaFile() *schemafile.File {
	f := &schemafile.File{Version: schemafile.Version}
	for _, c := range sandbox.Clusters(samples.Source{}.Catalog()) {
		f.Clusters = append(f.Clusters, schemafile.Cluster{Name: c.Name, Databases: c.Databases})
	}
	return f
}

func dumpSchema(ctx context.Context, cfg *config.Config, only string) (*schemafile.File, error) {
	f := &schemafile.File{Version: schemafile.Version, Clusters: []schemafile.Cluster{}}
	a := newAsker(cfg)
	defer a.close()
	for _, k := range cfg.Kusto {
		if only != "" && k.Name != only {
			continue
		}
		u, err := url.Parse(k.Endpoint.Reveal())
		if err != nil {
			return nil, fmt.Errorf("kusto cluster %q: endpoint is no URL", k.Name)
		}
		cluster := schemafile.Cluster{Name: k.Name, Host: u.Hostname()}
		c, err := a.client(k)
		if err != nil {
			return nil, err
		}
		for _, name := range k.Databases {
			text, err := c.DatabaseSchema(ctx, name)
			if err != nil {
				return nil, err
			}
			d, err := schemafile.FromKusto(name, text)
			if err != nil {
				return nil, err
			}
			cluster.Databases = append(cluster.Databases, d)
		}
		f.Clusters = append(f.Clusters, cluster)
	}
	if len(f.Clusters) == 0 {
		return nil, usageError{fmt.Errorf("--kusto %q is no cluster of the configuration", only)}
	}
	// What cannot be read again is not worth keeping.
	for _, c := range f.Clusters {
		if _, err := f.Schema(c.Name); err != nil {
			return nil, fmt.Errorf("kusto cluster %q: %w", c.Name, err)
		}
	}
	return f, nil
}

// writeSchema writes the file whole or not at all.
func writeSchema(f *schemafile.File, path string, out, errs io.Writer) error {
	var text bytes.Buffer
	if err := f.Write(&text); err != nil {
		return err
	}
	if path == "" {
		_, err := out.Write(text.Bytes())
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".schema-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, errors.Unwrap(err))
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it is there only after a failure
	_, err = temporary.Write(text.Bytes())
	err = errors.Join(err, temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return err
	}
	tables := 0
	for _, c := range f.Clusters {
		for _, d := range c.Databases {
			tables += len(d.Tables) + len(d.ExternalTables) + len(d.MaterializedViews)
		}
	}
	fmt.Fprintf(errs, "%s: %s, %s, %s\n", path, plural(uint64(len(f.Clusters)), "cluster"),
		plural(uint64(len(f.Databases())), "database"), plural(uint64(tables), "table"))
	return nil
}
