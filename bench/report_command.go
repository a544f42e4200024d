package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"github.com/tandem-io/tandem/bench/chart"
	"github.com/tandem-io/tandem/bench/report"
	"github.com/tandem-io/tandem/bench/results"
)

// reportFlags selects the forms of the report.
type reportFlags struct {
	html, text, markdown, svg string
	profiles                  []string
}

func reportCommand() *cobra.Command {
	var f reportFlags
	command := &cobra.Command{
		Use:   "report [RESULTS.json ...]",
		Short: "Show results: as a table, as one HTML page, as pictures, or for benchstat",
		Long: "Show what run measured. Without flags, a table on standard output. The HTML page has all numbers and\n" +
			"pictures, and needs no network. FILE may be - for standard output. Several files become one report, if\n" +
			"they are of the same machine and program.\n\n" +
			"A profile is what serve --cpuprofile writes, or a file NAME.perf that perf script -F period,ip,sym,dso has\n" +
			"written; it becomes a flame graph in the page, with or without results.",
		Example: "  bench report results.json\n" +
			"  bench report --html report.html --text results.txt results.json\n" +
			"  bench report --svg pictures results.json\n" +
			"  bench report --profile cpu.pprof --html profile.html",
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return usageError{err}
			}
			r, err := results.ReadTogether(args)
			if err != nil {
				return err
			}
			return f.write(c.OutOrStdout(), r)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.html, "html", "", "write one HTML page to this `FILE`")
	flags.StringVar(&f.text, "text", "", "write lines for benchstat to this `FILE`")
	flags.StringVar(&f.markdown, "markdown", "", "write tables for a README to this `FILE`")
	flags.StringVar(&f.svg, "svg", "", "write every picture as a file into this `DIR`")
	flags.StringArrayVar(&f.profiles, "profile", nil, "CPU profile `FILE` to draw in the page; may be repeated")
	return command
}

func (f reportFlags) check(args []string) error {
	switch {
	case len(args) == 0 && len(f.profiles) == 0:
		return errors.New("name the file of results that run --out wrote")
	case len(args) == 0 && (f.text != "" || f.markdown != "" || f.svg != ""):
		return errors.New("--text, --markdown and --svg need a file of results")
	case len(f.profiles) > 0 && f.html == "":
		return errors.New("--profile needs --html: the flame graph is drawn in the page")
	}
	return nil
}

// write produces everything that the flags ask for. Without results there is only the page.
func (f reportFlags) write(stdout io.Writer, r *results.Results) error {
	if f.html != "" {
		if err := f.writeHTML(stdout, r); err != nil {
			return err
		}
	}
	if r == nil {
		return nil
	}
	if err := writeText(stdout, f.text, func(w io.Writer) error { return report.Benchstat(w, r) }); err != nil {
		return err
	}
	if err := writeText(stdout, f.markdown, func(w io.Writer) error { return report.Markdown(w, r) }); err != nil {
		return err
	}
	if f.svg != "" {
		paths, err := report.WriteCharts(f.svg, r)
		if err != nil {
			return fmt.Errorf("write pictures: %w", err)
		}
		for _, path := range paths {
			fmt.Fprintln(stdout, path)
		}
	}
	if f.html == "" && f.text == "" && f.markdown == "" && f.svg == "" {
		report.Table(stdout, r)
	}
	return nil
}

func (f reportFlags) writeHTML(stdout io.Writer, r *results.Results) error {
	var profiles []*chart.Chart
	for _, path := range f.profiles {
		c, err := chart.Flame(path)
		if err != nil {
			return err
		}
		profiles = append(profiles, c)
	}
	text, err := report.HTML(r, profiles)
	if err != nil {
		return err
	}
	return writeText(stdout, f.html, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// writeText writes to a file, to standard output if it is -, and nowhere if it is empty.
func writeText(stdout io.Writer, path string, write func(io.Writer) error) error {
	switch path {
	case "":
		return nil
	case "-":
		return write(stdout)
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return results.ReplaceFile(path, b.Bytes())
}
