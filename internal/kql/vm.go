package kql

import (
	"context"
	"errors"
	"fmt"

	"modernc.org/quickjs"
)

// vmMemory bounds what one JavaScript engine may allocate: the parser needs about 100 MB, and a
// hostile query must fail on its own rather than take the process with it.
const vmMemory = 512 << 20

// vm is a JavaScript engine with the parser in it. One goroutine at a time may use it.
type vm struct {
	js *quickjs.VM
}

// newVM loads the parser, which is the given scripts: about a second of work, which ctx may end early.
func newVM(ctx context.Context, scripts ...string) (*vm, error) {
	js, err := quickjs.NewVM()
	if err != nil {
		return nil, fmt.Errorf("start the javascript engine: %w", err)
	}
	js.SetMemoryLimit(vmMemory)
	// The context is the only clock.
	if err := js.SetEvalTimeout(0); err != nil {
		_ = js.Close()
		return nil, fmt.Errorf("start the javascript engine: %w", err)
	}
	v := &vm{js: js}
	for _, s := range scripts {
		err := v.during(ctx, func() error {
			_, err := js.Eval(s, quickjs.EvalGlobal)
			return err
		})
		if err != nil {
			v.close()
			return nil, fmt.Errorf("load the KQL parser: %w", err)
		}
	}
	return v, nil
}

// during runs f, which must call into JavaScript, and interrupts it when ctx ends. An error of ctx
// takes precedence: what an interrupted script says about it is noise.
func (v *vm) during(ctx context.Context, f func() error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		v.js.Interrupt()
		close(interrupted)
	})
	err := f()
	if !stop() {
		<-interrupted // or else it could hit whoever uses the engine next
		return context.Cause(ctx)
	}
	return err
}

// call calls kusto2otlp.<function>, which takes and returns strings.
func (v *vm) call(ctx context.Context, function string, args ...string) (string, error) {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = a
	}
	var out string
	err := v.during(ctx, func() error {
		r, err := v.js.Call("kusto2otlp."+function, values...)
		if err != nil {
			var e *quickjs.Error
			if errors.As(err, &e) {
				return fmt.Errorf("%s: %s", e.Name, e.Message)
			}
			return err
		}
		s, ok := r.(string)
		if !ok {
			return fmt.Errorf("%s returned a %T", function, r)
		}
		out = s
		return nil
	})
	return out, err
}

func (v *vm) close() { _ = v.js.Close() }
