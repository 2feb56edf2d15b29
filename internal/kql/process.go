package kql

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
)

// maxAnswer bounds what a process may say at a time, in bytes: the tree of a query of MaxText
// has less.
const maxAnswer = 256 << 20

// process is an engine in a process of its own, which runs Serve. One goroutine at a time may use
// it.
//
// The engines of one process take a lock for every call of a JavaScript function, and two do little
// more than one. Two processes do twice as much.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// request and response are what goes to a process and comes back, a line of JSON each.
type request struct {
	Function string   `json:"function"`
	Args     []string `json:"args"`
}

type response struct {
	Answer string `json:"answer,omitempty"`
	Error  string `json:"error,omitempty"`
}

// startProcess starts an engine and waits until it has loaded the parser, which ctx may end early.
func startProcess(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	fail := func(err error) (*process, error) {
		return nil, fmt.Errorf("start a process for the KQL parser: %w", err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return fail(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fail(err)
	}
	if err := cmd.Start(); err != nil {
		return fail(err)
	}
	p := &process{cmd: cmd, in: in, out: bufio.NewReaderSize(out, 64<<10)}
	if _, err := p.call(ctx, ""); err != nil {
		p.close()
		return fail(err)
	}
	return p, nil
}

// call is vm.call. When ctx ends the process is killed: what it is at cannot be interrupted from
// here.
func (p *process) call(ctx context.Context, function string, args ...string) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	answer, err := p.ask(request{function, args})
	if !stop() {
		return "", context.Cause(ctx)
	}
	return answer, err
}

func (p *process) ask(r request) (string, error) {
	gone := func(err error) error {
		if errors.Is(err, io.EOF) {
			err = errors.New("it ended")
		}
		return fmt.Errorf("the process of the KQL parser: %w", err)
	}
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return "", gone(err)
	}
	var a response
	if err := readLine(p.out, &a); err != nil {
		return "", gone(err)
	}
	if a.Error != "" {
		return "", errors.New(a.Error)
	}
	return a.Answer, nil
}

// readLine decodes a line of JSON.
func readLine(r *bufio.Reader, into any) error {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxAnswer {
			return fmt.Errorf("a line has more than %d MiB", maxAnswer>>20)
		}
		if err == nil {
			return json.Unmarshal(line, into)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// close ends the process and waits for it.
func (p *process) close() {
	_ = p.in.Close()
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// Serve is an engine for the Parser of another process, until in ends: that of a Config.Command.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	script, err := bundle(assets)
	if err == nil {
		script, err = patch(script)
	}
	if err != nil {
		return err
	}
	v, err := newVM(ctx, script, fast, glue)
	if err != nil {
		return err
	}
	defer v.close()
	// Read besides, so that the end of in is seen during a call: whoever asked is gone.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, read := make(chan request), make(chan error, 1)
	go func() {
		defer cancel()
		read <- readRequests(ctx, in, requests)
	}()
	answers := json.NewEncoder(out)
	answers.SetEscapeHTML(false)
	for {
		var r request
		select {
		case r = <-requests:
		case <-ctx.Done():
			select {
			case err := <-read:
				return err
			default: // stuck in a read that nobody ends
				return nil
			}
		}
		var a response
		if r.Function != "" { // which only asks whether it is loaded
			if a.Answer, err = v.call(ctx, r.Function, r.Args...); err != nil {
				a = response{Error: err.Error()}
			}
		}
		if err := answers.Encode(a); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
}

// readRequests passes on what in has, until it ends.
func readRequests(ctx context.Context, in io.Reader, to chan<- request) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		var r request
		if err := readLine(lines, &r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return nil
		}
	}
}
